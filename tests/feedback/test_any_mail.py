"""Whatever comes: an answer, never an exception."""

from __future__ import annotations

import dataclasses
from typing import get_args

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracking.feedback.read import read
from tracking.feedback.types import RECIPIENTS_MAX, Feedback, Type

PIECES = [
    b"From: MAILER-DAEMON@example.org\r\n",
    b"Return-Path: <>\r\n",
    b"Subject: failure notice\r\n",
    b"To: a@example.com\r\n",
    b"Subject: =?utf-8?b?5byg?= =?x?q?=ff?=\r\n",
    b"Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n",
    b'Content-Type: multipart/mixed; boundary=""\r\n',
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: text/html\r\n",
    b"Content-Type: message/delivery-status\r\n",
    b"Content-Type: message/feedback-report\r\n",
    b"Content-Type: text/plain; charset=utf-7\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"X-Failed-Recipients: \xff, <a@example.com>\r\n",
    b"Auto-Submitted: auto-replied\r\n",
    b"\r\n",
    b"--b\r\n",
    b"--b--\r\n",
    b"Final-Recipient: rfc822; a@example.com\r\n",
    b"Action: failed\r\n",
    b"Action: \r\n",
    b"Status: 5.1.1\r\n",
    b"Status: 9.9.9\r\n",
    b"Diagnostic-Code: smtp; 550 \\x{110000}\r\n",
    b"Feedback-Type: abuse\r\n",
    b"<a@example.com>:\r\n550 5.1.1 no such user\r\n",
    b">>> RCPT TO:<a@example.com>\r\n<<< 450 later\r\n",
    b"\x00\xff\xfe\x1b$B",
    b'{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"status":1},3]}}',
    b"--- Below this line is a copy of the message.\r\n",
    b"b+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@bounce.example ",
    b"https://example.com/u/aaaaaaaaaaaaaaaaaaaaaaaa ",
    b"Message-ID: <\xc3\xa9>\r\n",
]
MAIL = st.one_of(st.binary(max_size=2000), st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join))


@settings(max_examples=400, deadline=None)
@given(raw=MAIL, to=st.text(max_size=80), sender=st.one_of(st.none(), st.text(max_size=20)))
@example(raw=b"", to="u+", sender=None)
def test_any_mail_has_an_answer_in_bounds(raw, to, sender):
    found = read(raw, envelope_to=to, envelope_from=sender)
    assert isinstance(found, Feedback)
    assert found.type in get_args(Type)
    assert len(found.recipients) <= RECIPIENTS_MAX
    for one in found.recipients:
        assert all("\0" not in text and len(text) <= 2000 for text in dataclasses.astuple(one))
        assert (one.reason == "") == (one.action not in ("failed", "delayed"))
    assert max(len(found.tokens), len(found.links), len(found.message_ids)) <= 20
