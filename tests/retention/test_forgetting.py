"""A person who is forgotten is nowhere any more; figures, other people's mail and the lists stay."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django_q.models import Failure

from delivery.callbacks.outbox import Happened
from delivery.models import (
    Attempt,
    Callback,
    CallbackEvent,
    GroupImport,
    Happening,
    Message,
    RecipientGroup,
    Task,
    Waiting,
)
from delivery.models.flow import Flow, Standing
from delivery.services import callbacks, standing
from exports import making, progress
from exports.models import Export, State
from suppression.models import Change, Entry, Upload
from tests.callbacks.conftest import happen
from tests.engine.world import group_of, started
from tests.exports.files import ask
from tests.factories.delivery import AddressFactory
from tests.factories.queues import pause, queue_with
from tests.factories.sending import attempt, message
from tracking.models import Event, FeedbackMail

pytestmark = pytest.mark.django_db

ADDRESS = "Ann.Smith@example.org"


def forget(address: str = ADDRESS, **options: bool) -> str:
    out = StringIO()
    call_command("forget_recipient", address, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def known() -> Message:
    """Ann, everywhere."""
    now = timezone.now()
    both = f"{ADDRESS}, bob@example.org"
    one = message(ADDRESS, to_field=both, subject="Dear Ann Smith", last_reply=f"250 <{ADDRESS}> ok")
    message("bob@example.org", to_field=both)
    attempt(one, reply=f"250 <{ADDRESS.lower()}> accepted")
    Event.objects.create(
        message_id=one.pk, kind="click", ip="203.0.113.9", user_agent="Firefox", link=f"https://x/?{ADDRESS}"
    )
    FeedbackMail.objects.create(
        digest=b"1", received_at=now, raw=b"To: Ann.Smith", size=3, due=now, message_id=one.pk, state=1
    )
    Entry.objects.create(list=Entry.List.BOUNCE, key=ADDRESS.lower(), created_at=now, latest_at=now)
    callbacks.add(url="https://shop.example/", address=None, happenings=Happening.values)
    from delivery.callbacks import outbox

    outbox.forget()
    happen(Happened(one.pk, Happening.OPEN, now))
    CallbackEvent.objects.update(answer=f"thanks for {ADDRESS}")
    group = group_of([ADDRESS, "carol@example.org"])
    wrong = [[3, f"{ADDRESS.upper()} (work)", "Enter the address alone."], [4, "bob", "There is no @ in it."]]
    GroupImport.objects.create(group=group, filename="people.csv", malformed=2, errors=wrong)
    Upload.objects.create(list=Entry.List.BOUNCE, malformed=2, errors=wrong, made_at=now)
    Upload.objects.create(filename="lists.csv", content=f"email\n{ADDRESS}\n".encode(), made_at=now)
    # Read by nobody, and about no message that anybody could prove.
    for number, state in enumerate((FeedbackMail.State.FAILED, FeedbackMail.State.DONE)):
        raw = f"To: fbl@x\n\nOriginal-Rcpt-To: <{ADDRESS.lower()}>".encode()
        FeedbackMail.objects.create(digest=b"n%d" % number, received_at=now, raw=raw, size=9, due=now, state=state)
    FeedbackMail.objects.create(digest=b"b", received_at=now, raw=b"To: bob", size=3, due=now, state=1)
    Change.objects.create(action=Change.Action.ADDED, count=1, what=ADDRESS.lower(), made_by="operator", made_at=now)
    said = f"450 <{ADDRESS}> too much"
    queue = queue_with("example.org", ready=1, moving=True)
    pause(queue, said=said)
    standing.look(now=now)
    for model, column in ((Flow, "reply"), (Standing, "reply"), (Callback, "last_problem")):
        assert model._default_manager.update(**{column: said})
    ask("messages", recipient=ADDRESS)
    Failure.objects.create(id="1", name="job", func="x", started=now, stopped=now, success=False, result=f"({ADDRESS})")
    return one


# Where words of or about recipients stand: `known` puts Ann into each, and forgetting takes her out.
WITH_PEOPLE = {
    "delivery_attempt",
    "delivery_callback",
    "delivery_callbackevent",
    "delivery_flow",
    "delivery_groupimport",
    "delivery_message",
    "delivery_queuepause",
    "delivery_recipient",
    "delivery_standing",
    "exports_export",
    "suppression_change",
    "suppression_entry",
    "suppression_upload",
    "tracking_event",
    "tracking_feedbackmail",
}
# What we and our operators say, what stands in DNS, names of servers and domains; of q2, names and numbers of jobs
# (but for how failed ones ended, see below).
WITHOUT = {
    *("auth_group", "auth_permission", "django_admin_log", "django_content_type", "django_migrations"),
    *("django_q_ormq", "django_q_schedule", "django_q_task", "django_session"),
    *("console_account", "console_apiuser", "console_heartbeat", "console_node", "console_user"),
    *("delivery_creditentry", "delivery_delta", "delivery_dkimkey", "delivery_dnsrecord", "delivery_domainday"),
    *("delivery_ipcheck", "delivery_ipday", "delivery_limitgroup", "delivery_receivingdomain", "delivery_relay"),
    *("delivery_recipientgroup", "delivery_senderaddress", "delivery_senderdomain", "delivery_site"),
    *("delivery_statistic", "delivery_summary", "delivery_task", "delivery_taskcount", "delivery_template"),
    *("delivery_templateversion", "delivery_total", "delivery_waiting", "delivery_worker"),
    "tracking_unsubscribepage",
}


def tables(condition: str = "TRUE") -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT relname FROM pg_class t JOIN pg_attribute a ON attrelid = t.oid "
            "WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace "
            f"AND attnum > 0 AND NOT attisdropped AND {condition}"
        )
        return {row[0] for row in cursor.fetchall()}


def everywhere(text: str) -> list[str]:
    """The tables in which some row holds the text in some column."""
    found = []
    with connection.cursor() as cursor:
        # Bytes as far as they are text.
        cursor.execute("SET LOCAL bytea_output = 'escape'")
        for table in sorted(tables()):
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text ILIKE %s', [f"%{text}%"])
            if cursor.fetchone()[0]:
                found.append(table)
    return found


def test_every_table_that_could_hold_a_person_is_known_here() -> None:
    """A new one: put Ann into it above and see that she goes, or say that nobody's address gets there."""
    texts = "('text', 'varchar', 'bpchar', 'json', 'jsonb', 'bytea', 'inet', 'cidr', '_text', '_varchar', 'hstore')"
    assert tables(f"atttypid::regtype::oid IN (SELECT oid FROM pg_type WHERE typname IN {texts})") == (
        WITH_PEOPLE | WITHOUT
    )
    assert not WITH_PEOPLE & WITHOUT


def test_the_address_stands_nowhere_but_on_the_lists(known: Message) -> None:
    assert everywhere("ann.smith") == sorted(WITH_PEOPLE)
    said = forget()
    assert everywhere("ann.smith") == ["suppression_entry"]
    assert everywhere("203.0.113.9") == []
    # What q2 keeps of them is packed.
    assert not Failure.objects.exists()
    assert {export.state for export in Export.objects.all()} <= {State.WAITING, State.EXPIRED}
    assert "Messages: 1" in said
    assert "kept, so that the address is not mailed again" in said
    for rows in (GroupImport.objects.exclude(malformed=0).get().errors, Upload.objects.get().errors):
        assert rows == [[3, "", "Enter the address alone."], [4, "bob", "There is no @ in it."]]


def test_what_is_counted_and_what_is_others_stays(known: Message) -> None:
    forget()
    known.refresh_from_db()
    assert known.recipient.endswith("@forgotten.invalid")
    assert known.status == "delivered"
    assert Message.objects.get(recipient="bob@example.org").to_field == f"{known.recipient}, bob@example.org"
    assert Event.objects.filter(message_id=known.pk).count() == 1
    assert Attempt.objects.get(message_id=known.pk).code == 250
    assert RecipientGroup.objects.get().size == 1
    assert not CallbackEvent.objects.exists()
    assert FeedbackMail.objects.get().raw == b"To: bob"


def test_a_name_that_was_filled_into_a_subject_goes_back_to_its_place() -> None:
    task = started([ADDRESS], AddressFactory(), subject="Dear {{name}}")
    Task.objects.update(sender_name="For {{name}}")
    Message.objects.update(status="delivered", subject="Dear Ann", sender_name="For Ann")
    Waiting.objects.all().delete()
    forget()
    one = Message.objects.get(task=task.pk)
    assert (one.subject, one.sender_name) == ("Dear {{name}}", "For {{name}}")


def test_a_file_that_is_being_made_is_begun_anew() -> None:
    """Its rows may be those of before."""
    export = making.claim(ask("messages"))
    forget("nobody@example.org")
    assert not progress.mine(export).exists()
    assert making.make_next()
    export.refresh_from_db()
    assert (export.state, export.tries) == (State.DONE, 2)


def test_a_dry_run_changes_nothing(known: Message) -> None:
    before = everywhere("ann.smith")
    assert "dry run" in forget(dry_run=True)
    assert everywhere("ann.smith") == before


def test_while_mail_is_under_way_nothing_is_changed(known: Message) -> None:
    message(ADDRESS, status="sending")
    with pytest.raises(CommandError, match="1 messages to this address are under way"):
        forget()
    known.refresh_from_db()
    assert known.recipient == ADDRESS


def test_an_unknown_address_and_nonsense_are_said() -> None:
    assert "Nothing is kept" in forget("nobody@example.org")
    with pytest.raises(CommandError, match="There is no @"):
        forget("nonsense")


def test_what_was_exported_of_the_address_goes_with_its_filters(known: Message) -> None:
    ask("messages", recipient=known.recipient)
    others = ask("messages", recipient="bob@example.org")
    forget()
    assert [export.pk for export in Export.objects.all()] == [others.pk]
