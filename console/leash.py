"""A supervised cluster ends when its supervisor is gone, also where the one signal that the system sends then is lost:
django-q2 drops a SIGTERM that comes while it starts."""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK_SECONDS = 1.0
# Longer than a supervisor would have waited (console/stopping.py); a constant, for settings may not be there yet.
PATIENCE_SECONDS = 40.0


def hold() -> None:
    """Watch the parent from a thread of its own; needs a process group of its own, as the supervisor gives."""
    if os.environ.get("POSTHORN_SUPERVISOR") and os.getpgrp() == os.getpid():
        threading.Thread(target=_watch, args=[os.getppid()], name="leash", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2 * LOOK_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)
