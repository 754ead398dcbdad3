"""Where finished files lie: a folder, or a bucket that several machines reach. A file is there whole or not at all."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.core.files import File
from django.core.files.storage import Storage, storages

# Files of no export that are younger may be about to get their row.
STRAY_AFTER = dt.timedelta(hours=1)


class _Made(File):
    """A finished file beside its place: a folder's storage moves it there by renaming, others read it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb"), name=path.name)
        self._path = path

    def temporary_file_path(self) -> str:
        return str(self._path)


def store() -> Storage:
    return storages["exports"]


@contextmanager
def _reached() -> Iterator[None]:
    """What goes wrong with a bucket is an OSError, as it is with a folder: those who speak to it raise words of their
    own."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("botocore", "boto3", "s3transfer"):
            raise OSError(str(error)) from error
        raise


def put(path: Path, suffix: str) -> str:
    """Take a finished file; give its name in the storage, which nobody guesses. Raises OSError."""
    with _reached(), _Made(path) as made:
        return str(store().save(f"{secrets.token_urlsafe(18)}.{suffix}", made))


def reader(name: str) -> IO[bytes]:
    """A file, to be read once from its beginning and closed. Raises OSError: FileNotFoundError where there is none."""
    with _reached():
        if not store().exists(name):
            raise FileNotFoundError(name)
        found: Any = store().open(name)
        # Of a bucket as it comes: read as a file, all of it would be fetched into memory first.
        bucket_has = getattr(found, "obj", None)
        made: IO[bytes] = bucket_has.get()["Body"] if bucket_has is not None else found
        return made


def remove(name: str) -> None:
    """Raises OSError."""
    if name:
        with _reached():
            store().delete(name)


def strays(known: set[str], *, now: dt.datetime) -> list[str]:
    """Files that belong to no export. Raises OSError."""
    with _reached():
        try:
            _folders, files = store().listdir("")
        except FileNotFoundError:  # a folder is made with its first file
            return []
        return [name for name in files if name not in known and now - store().get_modified_time(name) > STRAY_AFTER]
