"""Regular sending: up to 20 people in one To field, one row each, and nothing half made."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from console.models import ApiUser
from delivery.models import Message, Reason, SenderAddress, Status, Waiting
from delivery.services.as_sent import mail_as_sent
from delivery.services.regular import NewRegular, RegularRefused, send_regular
from suppression import services as suppression
from tests.factories.delivery import AddressFactory, DomainFactory
from tests.factories.sending import template

pytestmark = pytest.mark.django_db


def send(recipients: str = "ann@example.org", **changed: Any) -> list[Message]:
    """What was made, in the order of the recipients."""
    made = send_regular(
        NewRegular(
            **{
                "template": changed.pop("template", None) or template(),
                "subject": "Your order",
                "sender_address": changed.pop("sender_address", None) or AddressFactory(),
                "recipients": recipients,
                "variables": {"name": "Ann"},
                **changed,
            }
        ),
        now=timezone.now(),
    )
    return list(Message.objects.filter(pk__in=made.ids).order_by("pk"))


def refused(**changed: Any) -> RegularRefused:
    with pytest.raises(RegularRefused) as error:
        send(**changed)
    assert not Message.objects.exists()
    return error.value


def test_each_recipient_gets_a_row_and_all_stand_in_one_to_field() -> None:
    made = send("ann@example.org\nBob@Example.NET\n", label="orders", request_ip="192.0.2.1")
    assert [message.recipient for message in made] == ["ann@example.org", "Bob@example.net"]
    assert {message.to_field for message in made} == {"ann@example.org, Bob@example.net"}
    assert {(m.status, m.label, m.request_ip, m.api_user.type) for m in made} == {
        ("sending", "orders", "192.0.2.1", ApiUser.Type.TRIGGER)
    }
    assert Waiting.objects.filter(priority=Waiting.Priority.TRIGGER).count() == 2
    assert mail_as_sent(made[1]).headers["To"] == "ann@example.org, Bob@example.net"


def test_an_address_entered_twice_gets_one_mail() -> None:
    made = send("ann@example.org\nANN@EXAMPLE.ORG\n  ann@example.org  \n")
    assert [message.recipient for message in made] == ["ann@example.org"]


def test_a_suppressed_recipient_gets_a_row_that_says_so_and_is_left_out_of_to() -> None:
    user = ApiUser.console(ApiUser.Type.TRIGGER)
    suppression.unsubscribe("bob@example.net", api_user_id=user.pk, now=timezone.now())
    ann, bob, eve = send("ann@example.org\nbob@example.net\neve@example.org")
    assert (bob.status, bob.reason) == (Status.INVALID, Reason.UNSUBSCRIBE)
    assert ann.to_field == eve.to_field == "ann@example.org, eve@example.org"
    assert not Waiting.objects.filter(message_id=bob.pk).exists()


def test_malformed_lines_are_named_and_nothing_is_made() -> None:
    error = refused(recipients="ann@example.org\nbob example.net\n\nmailto:eve@example.org")
    assert error.field == "recipients"
    first, second = str(error).split("\n")
    assert first.startswith("Line 2, “bob example.net”")
    assert second.startswith("Line 4, “mailto:eve@example.org”")


def test_twenty_recipients_are_taken_and_twenty_one_refused() -> None:
    twenty = "\n".join(f"p{n}@example.org" for n in range(20))
    assert len(send(twenty)) == 20
    Message.objects.all().delete()
    error = refused(recipients=f"{twenty}\np20@example.org")
    assert "21 recipients" in str(error)


@pytest.mark.parametrize("recipients", ["", "\n \n\t"])
def test_no_recipient_is_refused(recipients: str) -> None:
    assert refused(recipients=recipients).field == "recipients"


def test_missing_variables_are_named_wherever_they_stand() -> None:
    sender: SenderAddress = AddressFactory(sender_name="{{shop}}")
    error = refused(subject="For {{who}}", sender_address=sender, variables={})
    assert error.field == "variables"
    assert "name, who, shop" in str(error)


def test_a_template_with_two_variables_is_refused() -> None:
    error = refused(template=template("<p>{{name}} {{points}}</p>"))
    assert error.field == "template"
    assert "name, points" in str(error)


def test_an_unverified_domain_is_refused() -> None:
    error = refused(sender_address=AddressFactory(domain=DomainFactory(verified_at=None)))
    assert error.field == "sender_address"


def test_a_disabled_api_user_is_refused() -> None:
    user = ApiUser.console(ApiUser.Type.TRIGGER)
    user.enabled = False
    user.save()
    assert "disabled" in str(refused())


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": "Hello\r\nBcc: eve@example.org"},
        {"subject": "Hello {{ name | upper }}"},
        {"subject": " "},
        {"subject": "x" * 257},
        {"label": "a\nb"},
        {"label": "x" * 65},
        {"variables": {"name": ["a"]}},
        {"variables": {"name": "\x00"}},
        {"variables": {"name": "\ud800"}},
        {"variables": {"name": "x" * 2001}},
        {"variables": {"na me": "x"}},
    ],
)
def test_what_cannot_be_sent_is_refused_beside_its_field(wrong: dict[str, Any]) -> None:
    assert refused(**wrong).field == next(iter(wrong))


def test_numbers_and_nothing_become_text() -> None:
    (message,) = send(variables={"name": 12.5, "spare": None, "yes": True})
    assert message.variables == {"name": "12.5", "spare": "", "yes": "true"}


@pytest.mark.parametrize(
    "value",
    ["Ann\r\nBcc: eve@evil.example", "Ann\nTo: eve@evil.example", "Ann\u2028Bcc: eve@evil.example", "Ann\x85X: y"],
)
def test_a_value_never_adds_a_header(value: str) -> None:
    sender = AddressFactory(sender_name="{{name}}")
    (message,) = send(subject="For {{name}}", sender_address=sender, variables={"name": value})
    head = mail_as_sent(message).source.partition("\n\n")[0]
    names = [line.partition(":")[0] for line in head.split("\n") if not line.startswith((" ", "\t"))]
    assert sorted(names) == sorted(set(names))
    assert not {"Bcc", "X", "eve@evil.example"} & set(names)
    assert names.count("To") == 1


def test_a_name_with_a_comma_never_adds_a_recipient_or_a_sender() -> None:
    sender = AddressFactory(sender_name="{{name}}")
    (message,) = send(sender_address=sender, variables={"name": 'Finch, eve@evil.example, "x" <a@b.example>'})
    headers = mail_as_sent(message).headers
    assert headers["To"] == "ann@example.org"
    import email.message
    import email.policy

    parsed = email.message_from_string(mail_as_sent(message).source, policy=email.policy.default)
    assert [address.addr_spec for address in parsed["From"].addresses] == [sender.address]
    assert [address.addr_spec for address in parsed["To"].addresses] == ["ann@example.org"]


def test_mail_is_held_while_all_sending_is_stopped() -> None:
    from console.models import Account

    account = Account.current()
    account.sending_stopped_at = timezone.now()
    account.save()
    (message,) = send()
    assert (message.status, message.held_by) == ("held", "account")
