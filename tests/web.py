"""The web part as it is served, on the tests' database: `with Web() as web: web.get("/healthz")`.

As a module it is the application for gunicorn: `gunicorn tests.web`.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.installation import ROOT, until

DATABASE = "POSTHORN_TEST_DATABASE"

if DATABASE in os.environ:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = os.environ[DATABASE]
    from console.wsgi import application  # noqa: F401  (what gunicorn serves)


class Web:
    """gunicorn with the supervisor's own options; killed at the end if it still runs."""

    def __init__(self, **environment: str) -> None:
        from django.db import connection

        from console.supervisor import parts

        [part] = parts(["web"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [word.replace("console.wsgi", "tests.web") for word in part.command]
        command[command.index("--bind") + 1] = f"127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                **os.environ,
                **part.environment,
                DATABASE: str(connection.settings_dict["NAME"]),
                "LOG_LEVEL": "WARNING",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def __enter__(self) -> Web:
        try:
            until(self._answers, "gunicorn answers")
        except AssertionError:
            sys.stderr.write(self.said())
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def signal(self, number: int) -> None:
        """To gunicorn alone, who tells its workers; SIGKILL to all of them."""
        try:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        except ProcessLookupError:
            pass

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def get(self, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            answer.read()
            return answer
        finally:
            connection.close()

    def hit(self, paths: Iterable[str], *, threads: int = 8) -> int:
        """GET all of them; how many were answered."""
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(self._answered, paths))

    def _answered(self, path: str) -> bool:
        try:
            return self.get(path).status in (200, 302)
        except (OSError, http.client.HTTPException):
            return False

    def _answers(self) -> Any:
        assert self.process.poll() is None, self.said()
        try:
            return self.get("/healthz").status == 200
        except (OSError, http.client.HTTPException):
            return False
