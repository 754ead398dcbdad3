"""The listener: takes in mail that comes back, by SMTP, and says 250 once it is stored.

The loop talks to the clients; one thread holds the database connection. Mails that wait for it are stored together, in
one transaction, so that many clients cost hardly more than one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from console import heartbeat
from tracking.feedback import envelope, store
from tracking.feedback.limits import Limits
from tracking.feedback.session import Session
from tracking.feedback.store import Mail

log = structlog.get_logger()
T = TypeVar("T")

PART = "listener"
STORE_AT_ONCE = 100
# What a client may wait until its mail is stored; then it is told to come again.
STORE_SECONDS = 60.0
# The hosts are read again after so long, and at once for one that is not among them, but not more often than that.
HOSTS_SECONDS, HOSTS_LOOK_SECONDS = 30.0, 1.0
# From being told to stop to the end. In its last second, or at once where nothing is being stored, the database must
# let go of the thread.
STOP_SECONDS, LET_GO_SECONDS = 5.0, 1.0


class Listener:
    """In this process. A `port` of 0 is chosen by the system; `port` then says which."""

    def __init__(self, *, host: str, port: int, name: str) -> None:
        self.host, self.port, self.name = host, port, name
        self.max_bytes = settings.FEEDBACK_MAX_BYTES
        self.tls = _tls()
        self.limits = Limits(
            connections=settings.FEEDBACK_CONNECTIONS,
            each=settings.FEEDBACK_CONNECTIONS_EACH,
            rate_each=settings.FEEDBACK_RATE_EACH,
        )
        self.stored = 0
        self._hosts: frozenset[str] | None = None
        self._hosts_at = 0.0
        self._pool = ThreadPoolExecutor(1, "feedback")
        # The database was silent when it was time to end, and the thread waits for it.
        self.held_up = False
        self._storing = False
        self._waiting: asyncio.Queue[tuple[Sequence[Mail], asyncio.Future[bool]]] = asyncio.Queue()
        self._sessions: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    # --- its life

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken or not allowed."""
        self._server = await asyncio.start_server(
            self._serve, self.host or None, self.port, limit=32 * 1024, backlog=256
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks = [asyncio.create_task(self._store()), asyncio.create_task(self._beat())]

    async def stop(self) -> None:
        """No new clients; what is being stored is stored and answered."""
        self._server.close()
        give_up = time.monotonic() + STOP_SECONDS - LET_GO_SECONDS
        while (self._storing or not self._waiting.empty()) and time.monotonic() < give_up:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)
        for task in (*self._sessions, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._sessions, *self._tasks, return_exceptions=True)
        # Transports finish closing in the loop's next turns.
        for _turn in range(3):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(LET_GO_SECONDS):
                # There, for the connection belongs to that thread.
                await self._call(lambda: connection.close())
        except TimeoutError:
            self.held_up = True
        self._pool.shutdown(wait=not self.held_up, cancel_futures=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(reader, writer, self)
        if not self.limits.enter(session.client):
            writer.write(f"421 4.7.0 {self.name} Too many connections, try again later\r\n".encode())
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await session.run()
        finally:
            self._sessions.discard(task)
            self.limits.leave(session.client)

    async def _beat(self) -> None:
        """A sign of life from where the work is done: through the loop, the thread and the database."""
        while True:
            try:
                await self._call(lambda: heartbeat.beat(PART))
            except DatabaseError as error:
                log.warning("database_away", error=str(error).strip())
            await asyncio.sleep(min(5.0, settings.SILENT_SECONDS / 12))

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _connected, function)

    # --- what sessions ask (session.py, Door)

    async def admits(self, address: str) -> str:
        ours = envelope.identify(address)
        if ours is None:
            return "550 5.1.1 No such address here"
        host = address.rpartition("@")[2].lower()
        age = time.monotonic() - self._hosts_at
        if self._hosts is None or age > HOSTS_SECONDS or (host not in self._hosts and age > HOSTS_LOOK_SECONDS):
            try:
                self._hosts = await self._call(envelope.hosts)
                self._hosts_at = time.monotonic()
            except DatabaseError:
                # What was known holds on.
                if self._hosts is None:
                    return "451 4.3.0 Not now: try again later"
        if host not in self._hosts:
            return "550 5.7.1 Not a host of ours"
        # Of one message: `fbl@` hears from everybody.
        if ours.message_id is not None and not self.limits.address(address):
            return "450 4.2.1 Too much mail to this address, try again later"
        return ""

    async def keep(self, mails: Sequence[Mail]) -> bool:
        # Whoever has given up waiting may bring the next, while the first still waits here.
        if self._waiting.qsize() >= self.limits.connections:
            return False
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((mails, done))
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return await done
        except TimeoutError:
            return False

    async def _store(self) -> None:
        """As much as waits, again and again; but for mails whose client was told meanwhile to come again."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < STORE_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            batch = [(mails, done) for mails, done in batch if not done.done()]
            if not batch:
                continue
            self._storing = True
            if await self._keep([mail for mails, _done in batch for mail in mails]):
                answers = [True] * len(batch)
            else:
                # One that the database does not take must not keep the others out.
                answers = [len(batch) > 1 and await self._keep(mails) for mails, _done in batch]
            for (_mails, done), kept in zip(batch, answers, strict=True):
                if not done.done():
                    done.set_result(kept)
            self._storing = False

    async def _keep(self, mails: Sequence[Mail]) -> bool:
        try:
            await self._call(lambda: store.keep(mails, now=timezone.now()))
        except DatabaseError as error:
            log.error("feedback_not_stored", mails=len(mails), error=str(error).strip())
            return False
        self.stored += len(mails)
        return True


def _connected(function: Callable[[], T]) -> T:
    try:
        return function()
    except DatabaseError:
        # The next call finds a fresh one.
        connection.close()
        raise


def _tls() -> ssl.SSLContext | None:
    if not settings.FEEDBACK_TLS_FILE:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.FEEDBACK_TLS_FILE)
    return context


async def serve(ready: Callable[[Listener], None] | None = None) -> None:
    """Listen where the settings say, until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    listener = Listener(host=settings.FEEDBACK_HOST, port=settings.FEEDBACK_PORT, name=settings.MAIL_HOST)
    await listener.start()
    if ready is not None:
        ready(listener)
    await ended.wait()
    await listener.stop()
    if listener.held_up:
        # An end would wait for the thread. What it was to store was never said to be taken: it is brought again.
        log.warning("database_silent", part=PART)
        logging.shutdown()
        os._exit(0)
