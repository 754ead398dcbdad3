"""Many mail servers at once that have bounce mails to bring, and do not give up."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from delivery.models import Message

Bounce = tuple[str, bytes]


def settled(count: int, *, tasks_id: int) -> None:
    """Make all mail of a task delivered, as if it had gone out."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM delivery_waiting WHERE task_id = %s", [tasks_id])
        cursor.execute(
            "UPDATE delivery_message SET status = 'delivered', sent_at = now() WHERE task_id = %s", [tasks_id]
        )
        cursor.execute("DELETE FROM delivery_taskcount WHERE task_id = %s", [tasks_id])
        cursor.execute(
            "INSERT INTO delivery_taskcount (task_id, status, count) VALUES (%s, 'delivered', %s)", [tasks_id, count]
        )


def bounces(task_id: int, status: str = "5.1.1", words: str = "550 5.1.1 user unknown") -> list[Bounce]:
    """A bounce mail about each of the task's messages."""
    from tests.feedback.mails import report, return_path

    rows = Message.objects.filter(task_id=task_id).only("id", "recipient", "sender")
    return [(return_path(row), report(row, status, words)) for row in rows]


def bring_all(port: int, mails: Sequence[Bounce], *, connections: int = 20, seconds: float = 300) -> float:
    """Bring these, each until it is taken, over so many connections; the seconds that it took."""
    begun = time.perf_counter()
    asyncio.run(_bring_all(port, deque(mails), connections, seconds))
    return time.perf_counter() - begun


async def _bring_all(port: int, mails: deque[Bounce], connections: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await asyncio.gather(*(_server(port, mails) for _one in range(connections)))


async def _server(port: int, mails: deque[Bounce]) -> None:
    writer: asyncio.StreamWriter | None = None
    while mails:
        to, text = mails.popleft()
        while True:
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    await _expect(reader, 1)
                    writer.write(b"EHLO mx.example.org\r\n")
                    while (await _line(reader))[3:4] == b"-":
                        pass
                head = f"MAIL FROM:<>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode()
                writer.write(head)
                await _expect(reader, 3)
                writer.write(text.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                await _expect(reader, 1)
                break
            except (OSError, EOFError):
                # As a mail server does: what was not taken is brought again.
                if writer is not None:
                    writer.close()
                writer = None
                await asyncio.sleep(0.1)
    if writer is not None:
        writer.close()


async def _expect(reader: asyncio.StreamReader, count: int) -> None:
    for _reply in range(count):
        line = await _line(reader)
        if line[:1] not in b"23":
            raise EOFError(line)


async def _line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if not line:
        raise EOFError
    return line
