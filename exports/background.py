"""Exports give way: a file may take a little longer, mail must not."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from django.db import connection

from console import database

NICE = 10
T = TypeVar("T")


def behind_others(work: Callable[[], T]) -> T:
    """Run it in a thread of its own, with a connection of its own, that has the least claim to the processor: whoever
    was made nice can't be made less so, and this process has other things to do afterwards."""

    def run() -> T:
        _be_nice(threading.get_native_id())
        try:
            if database.is_embedded():
                # The server's side of the connection, which goes with it. Elsewhere it is slowed down only by what
                # reads from it.
                connection.ensure_connection()
                _be_nice(connection.connection.info.backend_pid)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as aside:
        return aside.submit(run).result()


def _be_nice(number: int) -> None:
    """A thread's number is as good as a process's on Linux, and on no other system."""
    if sys.platform == "linux":
        with suppress(PermissionError, ProcessLookupError):  # the server may run as somebody else
            os.setpriority(os.PRIO_PROCESS, number, NICE)
