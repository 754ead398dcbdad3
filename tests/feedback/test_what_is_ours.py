"""What of ours comes back in a mail: candidates for tokens, links and message ids, and what a report tells besides."""

from __future__ import annotations

import base64

import pytest

from delivery.tokens import Tokens
from tests.feedback.samples import BY_NAME, parts
from tracking.feedback.read import read

TOKENS = Tokens({1: b"a key of some length"})
BOUNCE = TOKENS.bounce(77)
LINK = TOKENS.unsubscribe(77)
ORIGINAL = "Content-Type: message/rfc822\n\nFrom: news@lark.example\nMessage-ID: <77@lark.example>\n"


def test_the_return_path_that_the_mail_came_to_is_the_likeliest():
    other = TOKENS.bounce(78)
    found = read(
        parts(f"{ORIGINAL}Return-Path: <b+{other}@bounce.lark.example>\n"), envelope_to=f"b+{BOUNCE}@x.example"
    )
    assert found.tokens == (BOUNCE, other)


@pytest.mark.parametrize(
    "where",
    [
        f"To: b+{BOUNCE}@bounce.lark.example",
        f"X-Postfix-Sender: rfc822; b+{BOUNCE}@bounce.lark.example",
        f"Return-Path: <SRS0=abcd=ef=bounce.lark.example=b+{BOUNCE}@ibis.example>",
        f"Return-Path: <prvs=0123456789=b+{BOUNCE}@bounce.lark.example>",
        f"Return-Path: <B+{BOUNCE.upper()}@BOUNCE.LARK.EXAMPLE>",
        f"Return-Path: <b=2B{BOUNCE}@bounce.lark.example>",
        f"Return-Path: <b+{BOUNCE[:20]}=\r\n{BOUNCE[20:]}@bounce.lark.example>",
    ],
)
def test_a_return_path_is_found_however_it_came_back(where):
    found = read(f"From: MAILER-DAEMON@x.example\r\n{where}\r\nSubject: failure notice\r\n\r\nfailed".encode())
    assert [TOKENS.read_bounce(token) for token in found.tokens] == [77]


def test_the_envelope_id_of_a_report_is_a_token():
    report = (
        f"Content-Type: message/delivery-status\n\nOriginal-Envelope-Id: {BOUNCE}\n\nFinal-Recipient: a@b.example\n"
    )
    assert read(parts(report)).tokens == (BOUNCE,)


@pytest.mark.parametrize(
    "where",
    [
        f"List-Unsubscribe: <https://track.lark.example/u/{LINK}>",
        f"List-Unsubscribe: <mailto:u+{LINK}@bounce.lark.example>",
        f"Subject: News\n\nhttps://safe.ibis.example/?url=https%3A%2F%2Ftrack.lark.example%2Fu%2F{LINK}&x=1",
        "Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(f"https://x/u/{LINK}\n".encode()).decode(),
    ],
)
def test_the_unsubscribe_link_of_an_embedded_mail_is_found(where):
    found = read(parts(f"{ORIGINAL}{where}\n"))
    assert [TOKENS.read_unsubscribe(link) for link in found.links] == [77]


def test_mail_to_the_unsubscribe_address_tells_its_token():
    found = read(b"From: finch@wren.example\n\n", envelope_to=f"u+{LINK}@bounce.lark.example")
    assert (found.type, found.links) == ("unsubscribe", (LINK,))


def test_a_report_to_the_unsubscribe_address_is_a_report():
    assert read(BY_NAME["reports: Postfix"].raw, envelope_to=f"u+{LINK}@bounce.lark.example").type == "bounce"


def test_message_ids_of_what_was_returned():
    assert read(BY_NAME["reports: Postfix"].raw).message_ids == ("77@lark.example",)
    assert read(BY_NAME["classic: qmail"].raw).message_ids == ("77@lark.example",)
    assert read(BY_NAME["answers: RFC 3834"].raw).message_ids == ("77@lark.example",)


def test_what_a_complaint_tells_besides():
    found = read(BY_NAME["complaints: RFC 5965"].raw)
    assert found.feedback_type == "abuse"
    assert found.facts["source-ip"] == "192.0.2.1"
    assert found.facts["user-agent"] == "Wren/1.0"
    assert found.tokens == ("abcdefghijklmnopqrstuvwxyz234567",)
    assert found.links == ("AbCdEfGhIjKlMnOpQrStUvWx",)
    hidden = read(BY_NAME["complaints: a report that hides who"].raw)
    assert hidden.links == ("AbCdEfGhIjKlMnOpQrStUvWx",)


def test_the_remote_servers_words_are_kept():
    first = read(BY_NAME["reports: Postfix"].raw).recipients[0]
    assert first.diagnostic == "550 5.1.1 <finch@wren.example>: nobody of that name"
    assert (first.status, first.action) == ("5.1.1", "failed")


def test_automatic_answers_with_a_null_sender_are_no_bounces():
    raw = b"From: Finch <finch@wren.example>\nSubject: Re: News\nAuto-Submitted: auto-replied\n\nI am away. 550"
    assert read(raw, envelope_from="").type == "autoreply"


def test_a_null_sender_and_a_mail_system_make_a_bounce_of_a_strange_subject():
    raw = b"From: MAILER-DAEMON@wren.example\nSubject: Re: News\n\n<finch@wren.example>: mailbox full"
    assert read(raw, envelope_from="").type == "bounce"


def test_each_recipient_of_a_report_has_its_own_reason():
    found = read(BY_NAME["classic: Exim, several fates"].raw)
    assert [one.reason for one in found.recipients] == ["server_error", "not_exist", "other"]
    fates = read(BY_NAME["reports: several recipients, several fates"].raw)
    assert [one.action for one in fates.recipients] == ["failed", "delayed", "relayed"]
