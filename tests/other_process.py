"""`python -m tests.other_process DATABASE ORDER`: engine work in a process of its own, to be killed, on the tests'
database. ORDER is JSON: {"do": "deliver" | "expand" | "listen" | "process" | "ids", "settings": {…}, …}."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def begin(order: dict[str, Any], **options: Any) -> subprocess.Popen[bytes]:
    """Start one from a test. It ends with the order done, or is killed by whoever started it."""
    from django.db import connection

    command = [sys.executable, "-m", "tests.other_process", connection.settings_dict["NAME"], json.dumps(order)]
    return subprocess.Popen(command, cwd=ROOT, **options)


def main(database: str, order: dict[str, Any]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    os.environ["LOG_LEVEL"] = "ERROR"
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    for name, value in order.get("settings", {}).items():
        setattr(settings, name, Path(value) if name.endswith("_DIR") else value)
    import django

    django.setup()
    from delivery.engine import run
    from delivery.services import tasks

    if order["do"] == "deliver":
        run.deliver(seconds=60, idle_seconds=60)
    elif order["do"] == "expand":
        from django.utils import timezone

        tasks.CHUNK = order["chunk"]
        tasks.expand(order["task"], now=timezone.now())
    elif order["do"] == "listen":
        import asyncio

        from tracking.feedback import listener

        asyncio.run(listener.serve())
    elif order["do"] == "process":
        import datetime as dt
        import time

        from tracking.feedback import process

        process.LEASE = dt.timedelta(seconds=order["lease"])
        while True:
            process.process()
            time.sleep(0.05)
    elif order["do"] == "ids":
        fork_and_print_ids(order["count"])


def fork_and_print_ids(count: int) -> None:
    """Ids of this process and of two that it forks after it has made some."""
    from django.db import connection

    from console import ids

    made = ids.new_ids(count)
    connection.close()  # as django-q2 does: a connection is not shared over fork()
    children = [pid for pid in (os.fork(), os.fork()) if pid]
    made = (made if len(children) == 2 else []) + ids.new_ids(count)
    for pid in children:
        os.waitpid(pid, 0)
    os.write(1, (json.dumps(made) + "\n").encode())
    connection.close()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
