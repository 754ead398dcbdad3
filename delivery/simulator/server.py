"""The simulator as one thing to start and stop: the SMTP server and the DNS server of one world."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from delivery.simulator import record, tally
from delivery.simulator.behaviour import Mailboxes
from delivery.simulator.dns import TCP, UDP, Answerer
from delivery.simulator.moods import MOODS, with_limits
from delivery.simulator.post import Options, Post
from delivery.simulator.readers import Readers
from delivery.simulator.returns import DELAY_SECONDS, Returns
from delivery.simulator.smtp import Session
from delivery.simulator.tls import server_context
from delivery.simulator.zone import Zone, ZoneFile

SWEEP = 15.0  # seconds between looks for idle connections
TALLY = 1.0  # seconds between writings of the tally


class Simulator:
    """The outside world in this process. Ports of 0 are chosen by the system; `smtp_port`, `dns_port` then say which.

    `directory` keeps the record, published DNS records, and (with `keep`) mails whole; `tls` offers STARTTLS.
    `feedback_port`: where the hosts of the zone take the mail that comes back; 0: nothing comes back by mail.
    `latency`: seconds before each answer. `limits`: connections and messages a second of `limited.moods.test`.
    Servers with moods listen where the system has their loopback addresses (Linux has all of them).
    Raises ValueError for a `host` that is not a loopback address: it takes mail for everyone, and must not be reached.
    """

    def __init__(
        self,
        directory: Path,
        *,
        domain: str = "simulator.test",
        host: str = "127.0.0.1",
        smtp_port: int = 0,
        dns_port: int = 0,
        keep: bool = False,
        tls: bool = False,
        max_size: int = 25 * 2**20,
        idle: float = 300.0,
        latency: float = 0.0,
        limits: tuple[int, int] | None = None,
        feedback_port: int = 0,
        feedback_delay: float = DELAY_SECONDS,
        readers: bool = False,
        reading_pace: float = 1.0,
    ) -> None:
        if not is_loopback(host):
            raise ValueError(f"The simulator listens on loopback addresses only, not on {host!r}.")
        self.directory = directory
        self.host = host
        self.smtp_port = smtp_port
        self.feedback_port, self.feedback_delay = feedback_port, feedback_delay
        self.readers, self.reading_pace = readers, reading_pace
        self.dns_port = dns_port
        moods = [mood for mood in (with_limits(MOODS, *limits) if limits else MOODS) if _is_there(mood.host)]
        self.zone = Zone(domain, directory, host, {mood.domain: mood.host for mood in moods})
        self.mailboxes = Mailboxes(domain.lower(), self.zone.serves, {mood.domain: mood.behaviour for mood in moods})
        context = server_context(directory, f"mx.{domain}") if tls else None
        self.options = Options(name=f"mx.{domain}", max_size=max_size, idle=idle, keep=keep, tls=context)
        self.options.latency = latency
        self.options.moods = {mood.host: mood for mood in moods}
        self.answerer = Answerer(self.zone)
        self.post: Post
        self._smtp: list[asyncio.Server] = []
        self._tcp: asyncio.Server
        self._udp: asyncio.DatagramTransport
        self._dns_connections: set[TCP] = set()
        self._sweeper: asyncio.Task[None]

    # --- what tests and the demo ask for

    @property
    def published(self) -> ZoneFile:
        """The published DNS records, to read, add to and take from."""
        return self.zone.file

    @property
    def accepted_log(self) -> Path:
        return self.directory / record.ACCEPTED

    @property
    def refused_log(self) -> Path:
        return self.directory / record.REFUSED

    def accepted(self, since: int = 0) -> list[record.Record]:
        """The record of accepted recipients from a mark on."""
        return list(record.read(self.accepted_log, since))

    def refused(self, since: int = 0) -> list[record.Record]:
        """The record of refused and deferred recipients from a mark on."""
        return list(record.read(self.refused_log, since))

    @property
    def returned_log(self) -> Path:
        return self.directory / record.RETURNED

    def returned(self, since: int = 0) -> list[record.Given]:
        """The record of what came back from a mark on."""
        return list(record.read_returned(self.returned_log, since))

    @property
    def visits_log(self) -> Path:
        return self.directory / record.VISITS

    def visits(self, since: int = 0) -> list[record.Visit]:
        """The record of who opened and clicked from a mark on."""
        return list(record.read_visits(self.visits_log, since))

    @property
    def peaks(self) -> dict[tuple[str, str], tally.Peak]:
        """The most that each client IP did to each group, since the start."""
        return self.post.tally.peaks()

    @property
    def peaks_log(self) -> Path:
        """The same for each second: `tally.read` reads it. Complete once the simulator has stopped."""
        return self.directory / tally.PEAKS

    def mail(self, accepted: record.Record) -> bytes:
        """A mail as it was received; FileNotFoundError without `keep`."""
        return record.kept(self.directory, accepted)

    # --- its life

    async def start(self) -> None:
        """Listen. Raises OSError where a port is taken; nothing is left open then."""
        loop = asyncio.get_running_loop()
        recorder = record.Recorder(self.directory)
        returns = Returns(self.zone, self.feedback_port, recorder.write_returned, delay=self.feedback_delay)
        readers = Readers(recorder.write_visits, pace=self.reading_pace)
        self.post = Post(self.mailboxes, recorder, self.options, tally.Tally(recorder.write_peaks), returns, readers)
        try:
            await self._start_dns(loop)
            try:
                await self._start_smtp(loop)
            except OSError:
                self._udp.close()
                self._tcp.close()
                raise
        except OSError:
            self.post.recorder.close()
            raise
        self.post.returns.start()
        if self.readers:
            self.post.readers.start()
        self._sweeper = loop.create_task(self._sweep())

    async def _start_smtp(self, loop: asyncio.AbstractEventLoop) -> None:
        """On one port of the own address and of those of the moods; another port where the system chooses it."""
        for attempt in range(20):
            port = self.smtp_port
            try:
                for host in (self.host, *self.options.moods):
                    server = await loop.create_server(lambda: Session(self.post), host, port, backlog=1024)
                    self._smtp.append(server)
                    port = server.sockets[0].getsockname()[1]
            except OSError as error:
                while self._smtp:
                    self._smtp.pop().close()
                if self.smtp_port or error.errno != errno.EADDRINUSE or attempt == 19:
                    raise
            else:
                self.smtp_port = port
                return

    async def _start_dns(self, loop: asyncio.AbstractEventLoop) -> None:
        """UDP and TCP on one port; where the system chooses it, the other protocol's may be taken: then another."""
        for attempt in range(20):
            self._udp, _protocol = await loop.create_datagram_endpoint(
                lambda: UDP(self.answerer), local_addr=(self.host, self.dns_port)
            )
            port = self._udp.get_extra_info("sockname")[1]
            try:
                self._tcp = await loop.create_server(lambda: TCP(self.answerer, self._dns_connections), self.host, port)
            except OSError as error:
                self._udp.close()
                if self.dns_port or error.errno != errno.EADDRINUSE or attempt == 19:
                    raise
            else:
                self.dns_port = port
                return

    async def stop(self) -> None:
        """Close all at once: clients find their connections broken, as when a machine goes down."""
        self._sweeper.cancel()
        for server in self._smtp:
            server.close()
        self._tcp.close()
        self._udp.close()
        self.post.close()
        await self.post.returns.stop()
        await self.post.readers.stop()
        for connection in tuple(self._dns_connections):
            connection.close()
        await asyncio.gather(self._sweeper, return_exceptions=True)
        # Transports finish closing in the loop's next turns.
        for _turn in range(3):
            await asyncio.sleep(0)
        self._write_tally(all_=True)
        self.post.recorder.close()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        swept = loop.time()
        while True:
            await asyncio.sleep(min(TALLY, self.options.idle / 2))
            self._write_tally()
            if loop.time() - swept >= min(SWEEP, self.options.idle / 2):
                swept = loop.time()
                self.post.close_idle(swept)

    def _write_tally(self, all_: bool = False) -> None:
        try:
            self.post.tally.flush(all_)
        except OSError:
            pass  # a full disk takes the figures, not the mail


def _is_there(host: str) -> bool:
    """Whether this machine has the address."""
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback IP address. Names are not trusted: they may lead anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def running_simulator(directory: Path, **options: Any) -> Iterator[Simulator]:
    """A simulator in a thread with a loop of its own, ready on entry and closed on exit. `options` as `Simulator`'s."""
    simulator = Simulator(directory, **options)
    ready = threading.Event()
    failure: list[Exception] = []
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def live() -> None:
        try:
            await simulator.start()
        except Exception as error:  # handed to the caller, whatever it is
            failure.append(error)
            return
        finally:
            ready.set()
        await ended.wait()
        await simulator.stop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(live())

    thread = threading.Thread(target=run, name="simulator", daemon=True)
    thread.start()
    ready.wait()
    try:
        if failure:
            raise failure[0]
        yield simulator
    finally:
        if not failure:
            loop.call_soon_threadsafe(ended.set)
        thread.join()


class SimulatorProcess:
    """A simulator in a process of its own: for benches, and for tests that kill it."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        root = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-m", "delivery.simulator", "--dir", str(directory.resolve()), "--until-eof"]
        self.process = subprocess.Popen(
            [*command, *arguments], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        ports = re.search(r"SMTP \S+:(\d+), DNS \S+:(\d+)", line)
        if ports is None:
            self.close()
            raise RuntimeError(f"The simulator did not start: {line.strip() or 'it said nothing'}")
        self.smtp_port, self.dns_port = int(ports[1]), int(ports[2])
        self.pid = self.process.pid

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        self.process.send_signal(signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """End it in order, and wait until it has gone."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


@contextmanager
def simulator_process(directory: Path, *arguments: str) -> Iterator[SimulatorProcess]:
    """A `SimulatorProcess`, ended on exit. `arguments` as on the command line (`--keep`, `--tls`, …)."""
    process = SimulatorProcess(directory, *arguments)
    try:
        yield process
    finally:
        process.close()
