"""Mails that come back, as servers write them, and a client that brings them."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings

from delivery import return_path as paths
from delivery.models import Message
from tracking.feedback.listener import Listener
from tracking.links import tokens


def return_path(message: Message) -> str:
    """Where bounce mails about this message go."""
    return paths.return_path(tokens().bounce(message.pk), message.sender.rpartition("@")[2])


def way_out(message: Message) -> str:
    """Where a mail that unsubscribes its recipient goes."""
    return paths.way_out(tokens().unsubscribe(message.pk), message.sender.rpartition("@")[2])


def bounce_host(message: Message) -> str:
    return paths.bounce_host(message.sender.rpartition("@")[2])


def report(
    message: Message,
    status: str = "5.1.1",
    diagnostic: str = "550 5.1.1 user unknown",
    action: str = "failed",
    number: int = 1,
) -> bytes:
    """A delivery status notification (RFC 3464, RFC 6522)."""
    return (
        f"From: Mail Delivery System <MAILER-DAEMON@mx.example.org>\r\n"
        f"To: {return_path(message)}\r\n"
        f"Subject: Delivery Status Notification ({action})\r\n"
        f"Date: Sat, 21 Nov 2026 21:00:00 +0000\r\n"
        f"Message-ID: <{number}.{message.pk}@mx.example.org>\r\n"
        f"Auto-Submitted: auto-replied\r\n"
        f"MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"\r\n\r\n'
        f"--=_b\r\nContent-Type: text/plain\r\n\r\n"
        f"I'm sorry to have to inform you that your message could not be delivered.\r\n\r\n"
        f"<{message.recipient}>: host mx.example.org said: {diagnostic}\r\n"
        f"--=_b\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; mx.example.org\r\n\r\n"
        f"Final-Recipient: rfc822; {message.recipient}\r\n"
        f"Action: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; {diagnostic}\r\n\r\n"
        f"--=_b\r\nContent-Type: message/rfc822\r\n\r\n"
        f"From: {message.sender}\r\nTo: {message.recipient}\r\nSubject: News\r\n"
        f"Message-ID: <{message.pk}@news.example.com>\r\n\r\nHello\r\n--=_b--\r\n"
    ).encode()


def complaint(message: Message, feedback_type: str = "abuse") -> bytes:
    """An ARF report (RFC 5965), its recipient left out; what names the message is its unsubscribe link."""
    link = f"https://mail.example.com/u/{tokens().unsubscribe(message.pk)}"
    return (
        f"From: <abuse@example.org>\r\nTo: <fbl@{bounce_host(message)}>\r\nSubject: FW: News\r\n"
        f"Date: Sat, 21 Nov 2026 21:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type=feedback-report; boundary="=_a"\r\n\r\n'
        f"--=_a\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n"
        f"--=_a\r\nContent-Type: message/feedback-report\r\n\r\n"
        f"Feedback-Type: {feedback_type}\r\nUser-Agent: Loop/1.0\r\nVersion: 1\r\n"
        f"Source-IP: 192.0.2.1\r\nOriginal-Rcpt-To: <redacted@example.org>\r\n\r\n"
        f"--=_a\r\nContent-Type: message/rfc822\r\n\r\n"
        f"From: {message.sender}\r\nTo: redacted\r\nSubject: News\r\n"
        f"List-Unsubscribe: <{link}>\r\nMessage-ID: <{message.pk}@news.example.com>\r\n\r\nHello {link}\r\n"
        f"--=_a--\r\n"
    ).encode()


def auto_reply(message: Message) -> bytes:
    """Somebody is on holiday (RFC 3834)."""
    return (
        f"From: {message.recipient}\r\nTo: {return_path(message)}\r\nSubject: Out of office: News\r\n"
        f"Auto-Submitted: auto-replied\r\nDate: Sat, 21 Nov 2026 21:00:00 +0000\r\n"
        f"In-Reply-To: <{message.pk}@news.example.com>\r\n\r\nI am away until Monday.\r\n"
    ).encode()


def bring(port: int, to: str | list[str], mail: bytes, sender: str = "") -> None:
    """As a mail server does. Raises smtplib's errors where it is refused."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.sendmail(sender, to, mail)


def refusal(act: Callable[[], Any]) -> tuple[int, bytes]:
    """The reply with which the first recipient, or the mail, was refused."""
    with pytest.raises(smtplib.SMTPException) as raised:
        act()
    error = raised.value
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next(iter(error.recipients.values()))
    assert isinstance(error, smtplib.SMTPResponseException)
    return error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else error.smtp_error.encode()


def talk(port: int, *lines: bytes, expect: int) -> bytes:
    """What is said to these, sent at once: all of it until so many lines have come, or the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"".join(line + b"\r\n" for line in lines))
        said = b""
        while said.count(b"\r\n") < expect:
            try:
                data = connection.recv(4096)
            except ConnectionResetError:
                break
            if not data:
                break
            said += data
        return said


@contextmanager
def listening(**changed: Any) -> Iterator[Listener]:
    """A listener in a thread with a loop of its own."""
    listener = Listener(host="127.0.0.1", port=0, name=settings.MAIL_HOST)
    for name, value in changed.items():
        setattr(listener, name, value)
    loop = asyncio.new_event_loop()
    ready, ended = threading.Event(), asyncio.Event()

    async def live() -> None:
        await listener.start()
        ready.set()
        await ended.wait()
        await listener.stop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(live())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield listener
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
