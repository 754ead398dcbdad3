"""The links as they stand in a composed mail lead to where they should."""

from __future__ import annotations

import email
import re
import threading
import time
from email import policy
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client

from delivery.engine.compose import Letter
from delivery.engine.store import composer_of
from suppression.models import Entry
from tests.tracking.mail import Sent, send
from tracking.links import tokens
from tracking.models import Event


def composed(sent: Sent) -> email.message.EmailMessage:
    message = sent.message
    letter = Letter(
        message.pk,
        message.sender,
        message.recipient,
        message.subject,
        values=message.variables,
        batch=True,
        public_url="https://mail.finch.example",
    )
    mail = composer_of(message.version, batch=True, tokens=tokens()).compose(letter, time.time())
    return email.message_from_bytes(mail.as_bytes(), policy=policy.default)


def test_every_link_of_a_mail_works(db: None) -> None:
    sent = send(page="https://one.example/")
    mail = composed(sent)
    html = mail.get_body(("html",)).get_content()
    first, second, third, stop = (urlsplit(link).path for link in re.findall(r'href="([^"]+)"', html))
    image = urlsplit(re.search(r'<img src="([^"]+)"', html).group(1)).path
    client = Client()
    assert client.get(first)["Location"] == "https://shop.example/new?for=Ann&x=1"
    assert client.get(second)["Location"] == "https://one.example/"
    assert client.get(third)["Location"] == "https://shop.example/sale"
    assert client.get(image)["Content-Type"] == "image/gif"
    assert "Nothing has changed yet" in client.get(stop).content.decode()
    one_click = urlsplit(mail["List-Unsubscribe"].partition(",")[0].strip("<>")).path
    body = mail["List-Unsubscribe-Post"]
    answer = client.post(one_click, body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    assert sorted(Event.objects.values_list("kind", flat=True)) == ["click"] * 3 + ["open", "unsubscribe"]
    assert Entry.objects.get().key == sent.message.recipient


@pytest.mark.django_db(transaction=True)
def test_several_requests_at_once_count_once() -> None:
    path = send().unsubscribe
    start = threading.Barrier(6)
    answers: list[int] = []

    def press() -> None:
        try:
            start.wait()
            answers.append(Client().post(path).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 6
    assert Entry.objects.get().hits == 1
    assert Event.objects.count() == 1
