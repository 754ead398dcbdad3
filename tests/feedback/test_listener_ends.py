"""The listener ends in order, and soon, also while the database does not answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from tests.installation import free_port
from tests.other_process import ROOT


def test_it_ends_soon_when_the_database_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It would be waited for for minutes.
        url = f"postgres://nobody@127.0.0.1:{silent.getsockname()[1]}/none?connect_timeout=600"
        settings = {
            "DATABASE_URL": url,
            "POSTHORN_EMBEDDED": "true",
            "FEEDBACK_PORT": str(free_port()),
            "FEEDBACK_HOST": "127.0.0.1",
        }
        command = [sys.executable, "manage.py", "listen_feedback"]
        with subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as listener:
            try:
                assert listener.stdout is not None
                assert b"Listening" in listener.stdout.readline()
                silent.settimeout(30)
                waiting, _address = silent.accept()
                with waiting:
                    listener.terminate()
                    assert listener.wait(timeout=30) == 0
            finally:
                listener.kill()
