"""Finished files in a bucket: nothing but Django's storages is asked, so that several machines can serve them."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import InMemoryStorage
from django.test import Client
from django.utils import timezone

from exports import storage, tidying
from exports.models import State
from tests.exports.files import files, made, table
from tests.exports.worker import ROOT
from tests.factories.sending import message

pytestmark = pytest.mark.django_db


@pytest.fixture
def bucket(settings: Any) -> None:
    """A storage that has no paths, as a bucket has none."""
    settings.STORAGES = {
        **settings.STORAGES,
        "exports": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }


class EndpointConnectionError(Exception):
    """As botocore's: no OSError."""

    __module__ = "botocore.exceptions"


class Away(InMemoryStorage):
    """A bucket that does not answer."""

    def exists(self, name: str) -> bool:
        raise EndpointConnectionError("Could not connect")

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        raise EndpointConnectionError("Could not connect")

    def delete(self, name: str) -> None:
        raise EndpointConnectionError("Could not connect")

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        raise EndpointConnectionError("Could not connect")


def test_a_bucket_that_does_not_answer_is_named_and_stops_nothing_else(
    bucket: None, folder: Path, operator: Client, settings: Any
) -> None:
    message("ann@example.org")
    export = made("messages")
    settings.STORAGES = {**settings.STORAGES, "exports": {"BACKEND": "tests.exports.test_bucket.Away"}}
    answer = operator.get(f"/offline-data/{export.pk}/file/")
    assert (answer.status_code, "reached just now" in answer.content.decode()) == (503, True)
    failed = made("messages")
    assert (failed.state, "Could not connect" in failed.problem) == (State.FAILED, True)
    assert tidying.tidy(now=timezone.now() + dt.timedelta(days=8)) == 0
    export.refresh_from_db()
    assert export.file, "it is tried again"


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_a_file_goes_to_the_bucket_from_there_to_whoever_asks_and_then_away(
    format: str, bucket: None, folder: Path, operator: Client
) -> None:
    message("ann@example.org")
    export = made("messages", format)
    assert (export.state, export.rows) == (State.DONE, 1)
    assert files(folder) == []
    answer = operator.get(f"/offline-data/{export.pk}/file/")
    assert len(b"".join(answer.streaming_content)) == export.size == int(answer["Content-Length"])  # type: ignore[arg-type]
    if format == "csv":
        assert table(export)[0]["Recipient"] == "ann@example.org"
    tidying.tidy(now=timezone.now() + dt.timedelta(days=8))
    assert not storage.store().exists(export.file)


def test_what_lies_in_the_bucket_for_no_export_is_taken_out(bucket: None, folder: Path) -> None:
    stray = folder / "stray.csv"
    stray.write_text("x")
    name = storage.put(stray, "csv")
    assert tidying.tidy(now=timezone.now()) == 0
    assert tidying.tidy(now=timezone.now() + dt.timedelta(hours=2)) == 1
    assert not storage.store().exists(name)


def test_naming_a_bucket_is_enough() -> None:
    asked = "import json; from console import settings; print(json.dumps(settings.STORAGES['exports']))"
    said = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=ROOT,
        env={**os.environ, "EXPORTS_BUCKET": "lists"},
        capture_output=True,
        check=True,
        text=True,
    )
    chosen = json.loads(said.stdout)
    assert chosen["BACKEND"] == "storages.backends.s3.S3Storage"
    assert chosen["OPTIONS"]["bucket_name"] == "lists"
