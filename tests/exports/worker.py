"""`python -m tests.exports.worker DATABASE FOLDER`: makes the exports that wait, in a process of its own to be killed
or put onto a small disk, and prints as JSON what is left in the folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Runs what follows with one megabyte mounted on FOLDER, seen by nobody else.
SMALL_DISK = [
    "unshare",
    "--mount",
    *([] if os.geteuid() == 0 else ["--map-root-user"]),
    "sh",
    "-c",
    'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"',
]


def begin(folder: Path, *, inside: list[str] | None = None) -> subprocess.Popen[str]:
    from django.db import connection

    command = [sys.executable, "-m", "tests.exports.worker", connection.settings_dict["NAME"], str(folder)]
    return subprocess.Popen([*(inside or []), *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def storage(folder: Path) -> dict[str, Any]:
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(folder / "done")},
    }


def main(database: str, folder: Path) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    os.environ["LOG_LEVEL"] = "CRITICAL"
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    settings.EXPORTS_WORK_DIR = folder / "making"
    settings.STORAGES["exports"] = storage(folder)
    import django

    django.setup()
    from exports import jobs, pace

    pace.MOST_REST = 0.0
    while jobs.make():
        pass
    print(json.dumps([str(path) for path in folder.rglob("*") if path.is_file()]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
