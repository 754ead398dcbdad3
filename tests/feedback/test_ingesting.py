"""`manage.py ingest_feedback`: mail that came by another MTA is stored, and its exit code says whether it was."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from tests.factories.sending import message
from tests.feedback.mails import report, return_path
from tracking.feedback import process, store
from tracking.feedback.store import KEPT_BYTES
from tracking.models import FeedbackMail

pytestmark = pytest.mark.django_db


def ingest(*arguments: Any, stdin: bytes | None = None) -> str:
    said = io.StringIO()
    given = sys.stdin
    if stdin is not None:
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        call_command("ingest_feedback", *arguments, stdout=said, stderr=said)
    finally:
        sys.stdin = given
    return said.getvalue()


def test_one_mail_from_standard_input_and_its_address_from_its_head() -> None:
    sent = message()
    mail = b"Delivered-To: " + return_path(sent).encode() + b"\n" + report(sent).replace(b"\r\n", b"\n")
    assert "1 stored" in ingest(stdin=mail)
    assert FeedbackMail.objects.get().envelope_to == return_path(sent)
    process.process()
    sent.refresh_from_db()
    assert (sent.status, sent.reason) == ("soft_bounce", "not_exist")


def test_the_envelope_may_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = message()
    ingest("--to", return_path(sent), "--from", "", stdin=b"Subject: x\n\nhello\n")
    kept = FeedbackMail.objects.get()
    assert (kept.envelope_to, kept.envelope_from) == (return_path(sent), "")
    # As Postfix's local(8) and qmail give it.
    monkeypatch.setenv("ORIGINAL_RECIPIENT", return_path(sent))
    ingest(stdin=b"Subject: y\n\nhello\n")
    assert FeedbackMail.objects.filter(envelope_to=return_path(sent)).count() == 2


def test_a_maildir_is_emptied_once_its_mail_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("new", "cur", "tmp"):
        (tmp_path / part).mkdir()
    sent = [message() for _n in range(3)]
    for number, one in enumerate(sent):
        (tmp_path / "new" / f"17000{number}.M1.host").write_bytes(report(one))
    real = store.keep

    def away(*args: Any, **kwargs: Any) -> int:
        raise OperationalError("gone")

    monkeypatch.setattr(store, "keep", away)
    with pytest.raises(CommandError) as raised:
        ingest("--maildir", str(tmp_path))
    assert raised.value.returncode == 75
    assert len(list((tmp_path / "new").iterdir())) == 3
    monkeypatch.setattr(store, "keep", real)
    assert "3 stored" in ingest("--maildir", str(tmp_path))
    assert not list((tmp_path / "new").iterdir())
    assert {path.name for path in (tmp_path / "cur").iterdir()} == {f"17000{n}.M1.host:2,S" for n in range(3)}
    assert "0 stored, 0 known" in ingest("--maildir", str(tmp_path))
    assert process.process() == 3


def test_what_cannot_be_read_is_named_and_the_rest_is_stored(tmp_path: Path) -> None:
    sent = message()
    (tmp_path / "good").write_bytes(report(sent))
    with pytest.raises(CommandError) as raised:
        ingest(str(tmp_path / "none"), str(tmp_path / "good"))
    assert raised.value.returncode == 66
    assert FeedbackMail.objects.count() == 1
    with pytest.raises(CommandError, match="no Maildir"):
        ingest("--maildir", str(tmp_path))


def test_of_a_huge_file_the_beginning_is_kept(tmp_path: Path) -> None:
    sent = message()
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.write(report(sent))
        for _block in range(64):
            file.write(b"x" * 2**20)
    ingest(str(path))
    kept = FeedbackMail.objects.get()
    assert (len(kept.raw), kept.size) == (KEPT_BYTES, path.stat().st_size)
    assert process.process() == 1
