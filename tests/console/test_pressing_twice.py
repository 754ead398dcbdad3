"""What a form makes or does, it makes and does once, however often it is sent: by the button, or by a reload."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, models
from django.test import Client

from console import locks
from console.models import ApiUser
from delivery.models import (
    Callback,
    CallbackEvent,
    CreditEntry,
    GroupImport,
    Message,
    RecipientGroup,
    SenderAddress,
    SenderDomain,
    Task,
    Template,
)
from exports.models import Export
from suppression.models import Upload
from tests.factories.delivery import AddressFactory, DomainFactory, GroupFactory, TemplateFactory
from tests.samples.callbacks import _callback

Given = tuple[str, dict[str, Any]]

SECOND = "sent a second time"


def group() -> Given:
    return "/groups/new/", {"name": "Readers"}


def recipients() -> Given:
    file = SimpleUploadedFile("people.csv", b"email\nann@example.org\n")
    return f"/groups/{GroupFactory().pk}/import/", {"file": file}


def domain() -> Given:
    return "/domains/new/", {"name": "news.example.com"}


def address() -> Given:
    return "/addresses/new/", {"domain": DomainFactory().pk, "prefix": "news"}


def a_template() -> Given:
    return "/templates/new/", {"name": "Spring", "type": "html", "source": "<p>Hi</p>", "language": "en"}


def trial() -> Given:
    given = {
        "sender_address": AddressFactory().pk,
        "recipient": "ann@example.org",
        "subject": "Test",
        "variables": "{}",
    }
    return f"/templates/{TemplateFactory().pk}/test/", {**given, "variables": "{}"}


def api_user() -> Given:
    return "/api-users/new/", {"name": "shop", "type": "trigger"}


def callback() -> Given:
    return "/callbacks/new/", {"url": "https://shop.example/events", "happenings": ["delivered"], "enabled": "on"}


def event() -> Given:
    return f"/callbacks/{_callback().pk}/test/", {}


def regular() -> Given:
    template = TemplateFactory(source="<p>Hi</p>").pk
    given = {"subject": "Your order", "template": template, "sender_address": AddressFactory().pk}
    return "/regular/", {**given, "recipients": "ann@example.org", "variables": "{}"}


def task() -> Given:
    return "/tasks/new/", {
        "type": "batch",
        "subject": "News",
        "template": TemplateFactory(source="<p>Hi</p>").pk,
        "control_percent": "0",
        "sender_address": AddressFactory().pk,
        "group": GroupFactory(people=1).pk,
        "confirmed": "1",
    }


def credit() -> Given:
    return "/plan/", {"amount": "100"}


def simulated() -> Given:
    template = TemplateFactory(source="<p>Hi</p>").pk
    return "/simulator/", {"sender_address": AddressFactory().pk, "template": template, "to": "success"}


def blocks() -> Given:
    return "/blocks/add/", {"lines": "ann@example.org"}


def blocklist() -> Given:
    return "/blocklist/import/", {"file": SimpleUploadedFile("list.csv", b"email\nann@example.org\n")}


def export() -> Given:
    return "/offline-data/new/messages/", {"format": "csv"}


def client_of(user: Any) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def token(client: Client) -> str:
    """A fresh one, as each page has in its forms."""
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/groups/new/").content.decode())
    assert found
    return found[1]


def press(client: Client, given: Given, token: str, *, follow: bool = False) -> Any:
    url, data = given
    for file in data.values():
        if isinstance(file, SimpleUploadedFile):
            file.seek(0)
    answer = client.post(url, {**data, "csrfmiddlewaretoken": token}, follow=follow)
    assert answer.status_code in (200, 302), answer.content.decode()
    return answer


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("form", "made"),
    [
        (group, RecipientGroup),
        (recipients, GroupImport),
        (domain, SenderDomain),
        (address, SenderAddress),
        (a_template, Template),
        (trial, Message),
        (api_user, ApiUser),
        (callback, Callback),
        (event, CallbackEvent),
        (regular, Message),
        (task, Task),
        (credit, CreditEntry),
        (simulated, Message),
        (blocks, Upload),
        (blocklist, Upload),
        (export, Export),
    ],
)
def test_a_form_that_is_sent_twice_acts_once(
    form: Callable[[], Given], made: type[models.Model], person: Callable[[str], Any], settings: Any
) -> None:
    settings.SIMULATOR = True
    client = client_of(person("administrator"))
    given, once_drawn = form(), token(client)
    before = made._default_manager.count()
    first = press(client, given, once_drawn)
    assert made._default_manager.count() == before + 1
    second = press(client, given, once_drawn, follow=True)
    assert made._default_manager.count() == before + 1
    assert SECOND in second.content.decode()
    # It leads to what the first made, but for a secret, which is shown once.
    assert first.status_code == 200 or first.url == second.redirect_chain[-1][0]


@pytest.mark.django_db
def test_a_form_that_was_changed_or_drawn_anew_acts(person: Callable[[str], Any]) -> None:
    client = client_of(person("operator"))
    once_drawn = token(client)
    press(client, ("/groups/new/", {"name": "Readers"}), once_drawn)
    press(client, ("/groups/new/", {"name": "Writers"}), once_drawn)
    RecipientGroup.objects.filter(name="Readers").delete()
    press(client, ("/groups/new/", {"name": "Readers"}), token(client))
    assert sorted(RecipientGroup.objects.values_list("name", flat=True)) == ["Readers", "Writers"]


@pytest.mark.django_db
def test_what_was_refused_or_only_shown_may_be_sent_again(person: Callable[[str], Any]) -> None:
    client = client_of(person("operator"))
    data = {"name": "", "csrfmiddlewaretoken": token(client)}
    assert [client.post("/groups/new/", data).status_code for _time in range(2)] == [422, 422]


@pytest.mark.django_db
def test_what_failed_may_be_sent_again(person: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(person("operator"))
    client.raise_request_exception = False
    data = {"name": "Readers", "csrfmiddlewaretoken": token(client)}
    with monkeypatch.context() as context:
        context.setattr(RecipientGroup, "save", failing(RuntimeError("a fault of ours")))
        assert client.post("/groups/new/", data).status_code == 500
    client.post("/groups/new/", data)
    assert RecipientGroup.objects.count() == 1


@pytest.mark.django_db
def test_where_nobody_knows_whether_it_acted_a_second_time_asks_to_look(
    person: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(person("operator"))
    client.raise_request_exception = False
    data = {"name": "Readers", "csrfmiddlewaretoken": token(client)}
    with monkeypatch.context() as context:
        context.setattr(RecipientGroup, "save", failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            client.post("/groups/new/", data)
    assert "see whether it acted" in client.post("/groups/new/", data, follow=True).content.decode()
    assert not RecipientGroup.objects.exists()


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise error

    return fail


@pytest.mark.django_db(transaction=True)
def test_presses_at_the_same_moment_act_once(person: Callable[[str], Any]) -> None:
    client = client_of(person("operator"))
    once_drawn = token(client)
    answers: list[int] = []

    def pressed() -> None:
        other = Client(enforce_csrf_checks=True)
        other.cookies = client.cookies
        try:
            answer = other.post("/groups/new/", {"name": "Readers", "csrfmiddlewaretoken": once_drawn})
            answers.append(answer.status_code)
        finally:
            connection.close()

    presses = [threading.Thread(target=pressed) for _press in range(4)]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join()
    assert answers == [302] * 4
    assert RecipientGroup.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_who_presses_again_while_the_first_takes_long_is_told_to_look(
    person: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "TIMEOUT", "50ms")
    client = client_of(person("operator"))
    given = "/groups/new/", {"name": "Readers"}
    once_drawn, told = token(client), list[str]()
    save = RecipientGroup.save

    def pressed() -> None:
        other = Client(enforce_csrf_checks=True)
        other.cookies = client.cookies
        try:
            told.append(press(other, given, once_drawn, follow=True).content.decode())
        finally:
            connection.close()

    def saved(*args: Any, **kwargs: Any) -> None:
        second = threading.Thread(target=pressed)
        second.start()
        second.join()
        save(*args, **kwargs)

    monkeypatch.setattr(RecipientGroup, "save", saved)
    press(client, given, once_drawn)
    assert "still being worked on" in told[0]
    assert RecipientGroup.objects.count() == 1
