"""How many messages a second the simulator takes: `python -m tests.simulator.bench_smtp [MESSAGES]`.

The client is raw: it writes MAIL, RCPT and DATA in one packet and each body with the commands of the next mail, as a
pipelining engine does. It runs in this process, the simulator in its own, so the processor time of each is known.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from delivery.simulator import record
from delivery.simulator.server import SimulatorProcess


def mail(number: int, octets: int) -> bytes:
    head = f"From: a@b.test\r\nTo: b@d.sink.test\r\nMessage-ID: <{number}@b.test>\r\nX-Number: {number}\r\n\r\n"
    line = "x" * 76 + "\r\n"
    return (head + line * max(1, (octets - len(head)) // 78)).encode() + b".\r\n"


async def client(port: int, first: int, count: int, octets: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b"EHLO bench\r\n")
    while not (await reader.readline()).startswith(b"250 "):
        pass

    def envelope(number: int) -> bytes:
        return b"MAIL FROM:<b+%d@b.test>\r\nRCPT TO:<r%d@d%d.sink.test>\r\nDATA\r\n" % (number, number, number % 50)

    writer.write(envelope(first))
    for number in range(first, first + count):
        for expected in (b"250", b"250", b"354"):
            assert (await reader.readline()).startswith(expected)
        following = envelope(number + 1) if number + 1 < first + count else b"QUIT\r\n"
        writer.write(mail(number, octets) + following)
        assert (await reader.readline()).startswith(b"250")
    await reader.readline()
    writer.close()
    await writer.wait_closed()


def measure(messages: int = 20_000, octets: int = 5_000, connections: int = 20) -> dict[str, float]:
    """Messages a second, and processor seconds for 1,000 messages of server and client."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        simulator = SimulatorProcess(directory)
        try:
            each = messages // connections
            before = os.times()
            started = time.perf_counter()

            async def run() -> None:
                await asyncio.gather(*(client(simulator.smtp_port, n * each, each, octets) for n in range(connections)))

            asyncio.run(run())
            seconds = time.perf_counter() - started
            after = os.times()
        finally:
            simulator.close()
        # The start of the interpreter is in it; it does not matter beside the rest.
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = sum(1 for _record in record.read(directory / record.ACCEPTED))
    sent = each * connections
    assert lines == sent, f"{lines} on record, {sent} sent"
    server = usage.ru_utime + usage.ru_stime
    return {
        "simulator_per_s": round(sent / seconds),
        "simulator_per_cpu_s": round(sent / server),
        "simulator_cpu_s": round(server, 2),
        "client_cpu_s": round(after.user + after.system - before.user - before.system, 2),
        "seconds": round(seconds, 2),
        "messages": sent,
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)))
