"""Recipients who open mail and follow its links, over real HTTP and on loopback only.

What each does stands in habits.py. At most `RATE` requests a second in all; what waits is bounded, and every request
is on record with who made it.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import ipaddress
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urlsplit

from delivery.simulator import letters
from delivery.simulator.habits import Habit, agent_of, habit_of
from delivery.simulator.record import Visit

RATE = 100.0
COURIERS = 32
WAITING_MAX = 5_000
WAITING_BYTES = 64 * 2**20
# Before each further try, in seconds: the web server may be starting.
RETRIES = (1.0, 3.0)
ANSWER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _Step:
    """One request. `number` of `steps`: 1 is the first."""

    habit: Habit
    recipient: str
    message_id: str
    kind: str  # open or click
    url: str
    number: int
    steps: int


@dataclass(frozen=True, slots=True)
class _Mail:
    habit: Habit
    recipient: str
    text: bytes


class Readers:
    """`pace`: what all times are multiplied with; 0: at once, for tests."""

    def __init__(self, write: Callable[[list[str]], None], *, pace: float = 1.0) -> None:
        self.write, self.pace = write, pace
        self._arrived: asyncio.Queue[_Mail] = asyncio.Queue()
        self._waiting = self._bytes = 0
        self._free_at = 0.0
        self._couriers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._couriers = [asyncio.create_task(self._work()) for _one in range(COURIERS)]

    async def stop(self) -> None:
        """What nobody has read yet stays unread."""
        for courier in self._couriers:
            courier.cancel()
        await asyncio.gather(*self._couriers, return_exceptions=True)
        self._couriers = []

    def put(self, recipient: str, text: bytes) -> None:
        """A mail has arrived."""
        habit = habit_of(recipient)
        if habit is None or not self._couriers:
            return
        if self._waiting >= WAITING_MAX or self._bytes + len(text) > WAITING_BYTES:
            return
        self._waiting += 1
        self._bytes += len(text)
        mail = _Mail(habit, recipient, text)
        asyncio.get_running_loop().call_later(habit.after * self.pace, self._arrived.put_nowait, mail)

    async def _work(self) -> None:
        while True:
            mail = await self._arrived.get()
            try:
                for step in plan(mail.habit, mail.recipient, mail.text):
                    if step.number > 1:
                        await asyncio.sleep(mail.habit.between * self.pace)
                    await self._turn()
                    await self._run(step)
            finally:
                self._waiting -= 1
                self._bytes -= len(mail.text)

    async def _turn(self) -> None:
        """One request every so often, whoever makes it."""
        now = asyncio.get_running_loop().time()
        at = max(self._free_at, now)
        self._free_at = at + 1 / RATE
        await asyncio.sleep(at - now)

    async def _run(self, step: _Step) -> None:
        outcome, reply = "failed", ""
        for pause in (*RETRIES, None):
            try:
                reply = await fetch(step.url, step.habit, agent_of(step.habit, step.recipient))
                outcome = "given" if reply.split(" ")[1:2] in (["200"], ["302"]) else "failed"
                break
            except (OSError, TimeoutError, EOFError) as error:
                reply = str(error) or type(error).__name__
                if pause is not None:
                    await asyncio.sleep(pause * self.pace)
        visit = Visit(
            time.time(),
            outcome,
            step.habit.name,
            step.kind,
            f"{step.number}/{step.steps}",
            step.recipient,
            step.message_id,
            step.url,
            reply[:200],
        )
        try:
            self.write([visit.line()])
        except OSError:
            pass  # a full disk takes the record; what was read is read


def plan(habit: Habit, recipient: str, mail: bytes) -> Iterator[_Step]:
    """What a habit does with a mail, in order."""
    images, links = _found(mail)
    wanted = [("open", url) for url in images[:1] if habit.image]
    if habit.links != "none" and len(links) >= habit.least_links:
        wanted += [("click", url) for url in (links[:1] if habit.links == "one" else links)]
    for number, (kind, url) in enumerate(wanted, 1):
        message_id = letters.header(mail, b"message-id")
        yield _Step(habit, recipient, message_id, kind, url, number, len(wanted))


def _found(mail: bytes) -> tuple[list[str], list[str]]:
    """The images of one pixel, and the links of an HTML part that lead to loopback, but for the way out."""
    part = email.message_from_bytes(mail, policy=email.policy.default).get_body(("html",))
    if part is None:
        return [], []
    reader = _Reader()
    reader.feed(str(part.get_content()))
    away = set(letters.way_out(mail))
    links = [url for url in dict.fromkeys(reader.links) if url not in away and _is_near(url)]
    return [url for url in reader.pixels if _is_near(url)], links


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pixels: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "img" and found.get("width") == "1":
            self.pixels.append(found.get("src") or "")
        if tag == "a" and re.match("https?:", found.get("href") or ""):
            self.links.append(found.get("href") or "")


def _is_near(url: str) -> bool:
    parts = urlsplit(url)
    try:
        near = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
    return parts.scheme == "http" and near


async def fetch(url: str, habit: Habit, agent: str) -> str:
    """Ask for a URL; the status line. Redirects are seen, not followed."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    more = f"{habit.header[0]}: {habit.header[1]}\r\n" if habit.header else ""
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            writer.write(
                f"{habit.method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: {agent}\r\n{more}"
                "Accept: */*\r\nConnection: close\r\n\r\n".encode()
            )
            status = (await reader.readline()).decode("latin-1").strip()
        finally:
            writer.close()
    if not status:
        raise EOFError("no answer")
    return status
