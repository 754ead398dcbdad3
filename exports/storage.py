"""Where finished files lie: a folder, or a bucket that several machines reach. A file is there whole or not at all."""

from __future__ import annotations

import datetime as dt
import secrets
from pathlib import Path

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


def put(path: Path, suffix: str) -> str:
    """Take a finished file; give its name in the storage, which nobody guesses."""
    with _Made(path) as made:
        return str(store().save(f"{secrets.token_urlsafe(18)}.{suffix}", made))


def remove(name: str) -> None:
    if name:
        store().delete(name)


def strays(known: set[str], *, now: dt.datetime) -> list[str]:
    """Files that belong to no export."""
    try:
        _folders, files = store().listdir("")
    except FileNotFoundError:  # a folder is made with its first file
        return []
    return [name for name in files if name not in known and now - store().get_modified_time(name) > STRAY_AFTER]
