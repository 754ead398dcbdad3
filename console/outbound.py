"""HTTP to addresses that people typed in: only to the ports allowed, and never into our own network.

The address is checked on the very socket that is connected, so a name whose DNS answer changes in between leads
nowhere else. Redirects are not followed, an exchange takes so many seconds in all, and so much of an answer is read.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

MAX_ANSWER = 64 * 1024
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Look = Callable[[str], Sequence[str]]


class NotAllowed(OSError):
    """The address is one that we don't send to. The text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request. `status` 0: no answer, and `problem` says why. `text`: as much as was read."""

    status: int
    text: str
    problem: str
    seconds: float


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet: not private, loopback, link-local, shared (RFC 6598),
    multicast, reserved, nor an IPv4 address of that kind in an IPv6 coat (mapped, 6to4, Teredo, NAT64)."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            # What a machine without IPv4 of its own is told of all that has no IPv6.
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if any(one is not None and not is_public(str(one)) for one in inner):
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Rules:
    """Where to: `ports`; `allowed` networks although they are not public; `look` gives the addresses of a name and
    raises OSError where there are none."""

    ports: frozenset[int]
    allowed: tuple[Network, ...]
    look: Look

    def check(self, address: str) -> None:
        """Raises NotAllowed."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        if not is_public(address) and not any(ip in network for network in self.allowed):
            raise NotAllowed(f"{address} is not a public address")

    def addresses(self, host: str) -> list[str]:
        """Raises OSError: no address, or none that is allowed."""
        try:
            found = [str(ipaddress.ip_address(host))]
        except ValueError:
            found = list(self.look(host))
        refused: NotAllowed | None = None
        good = []
        for address in found:
            try:
                self.check(address)
            except NotAllowed as error:
                refused = error
            else:
                good.append(address)
        if not good:
            raise refused or OSError(f"{host} has no address")
        return good

    def fault(self, url: str) -> str:
        """Why this URL can't be sent to, as far as it tells; "" when it may be tried."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            return "url"
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return "url"
        if parts.username is not None or parts.password is not None or parts.fragment or "\\" in url:
            return "url"
        if any(character <= " " or character == "\x7f" for character in url):
            return "url"
        if port not in self.ports:
            return "port"
        try:
            self.check(parts.hostname)
        except NotAllowed:
            return "private"
        except ValueError:
            if parts.hostname == "localhost" or parts.hostname.endswith(".localhost"):
                return "" if self.allowed else "private"
        return ""


class Client:
    """A connection to one server, kept between requests. Of one thread; `close` may be called from any."""

    def __init__(self, url: str, rules: Rules, *, seconds: float) -> None:
        parts = urlsplit(url)
        self._rules = rules
        self._seconds = seconds
        self._deadline = 0.0
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._host = parts.hostname or ""
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        secure = parts.scheme == "https"
        client = self

        class Checked(HTTPSConnection if secure else HTTPConnection):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                return client._connect(int(self.port))

        pool = urllib3.HTTPSConnectionPool if secure else urllib3.HTTPConnectionPool
        made: Any = type("Pool", (pool,), {"ConnectionCls": Checked})
        self._make = lambda: made(self._host, parts.port, maxsize=1, block=False, retries=False)
        self._pool: Any = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send; never raises for what the other side does."""
        began = time.monotonic()
        self._deadline = began + self._seconds
        status, text, problem = 0, "", ""
        # A pool that was closed takes nothing more: what went wrong before is not this request's fault.
        pool = self._pool = self._pool or self._make()
        timer = threading.Timer(self._seconds, self.close)
        timer.daemon = True
        timer.start()
        try:
            response = pool.request(
                "POST",
                self._target,
                body=body,
                headers=dict(headers),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=self._seconds, read=self._seconds),
            )
            status = response.status
            raw = response.read(MAX_ANSWER) or b""
            text = raw.decode("utf-8", "replace")
            if len(raw) < MAX_ANSWER and not response.read(1):
                response.release_conn()
            else:
                # The rest is not wanted, so this connection is of no more use.
                response.close()
        except (HTTPError, OSError, ValueError) as error:
            problem = _words(error)
            self.close()
        finally:
            timer.cancel()
            # Should it close just now, then this connection and not the next one.
            timer.join()
        seconds = time.monotonic() - began
        if seconds >= self._seconds:
            status, problem = 0, f"no answer within {self._seconds:g} s"
        return Answer(status, text, problem, seconds)

    def close(self) -> None:
        with self._lock:
            if self._socket is not None:
                try:
                    # Closing alone would not wake the thread that waits for it.
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                self._socket.close()
                self._socket = None
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _connect(self, port: int) -> socket.socket:
        if port not in self._rules.ports:
            raise NotAllowed(f"port {port} is not allowed")
        last: OSError = OSError(f"{self._host} has no address")
        for address in self._rules.addresses(self._host):
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            try:
                made = socket.create_connection((address, port), timeout=left)
            except OSError as error:
                last = error
                continue
            # What is connected, not what was looked up.
            self._rules.check(str(made.getpeername()[0]))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._socket is not None:
                    self._socket.close()
                # A handle of its own: TLS takes the other one over.
                self._socket = made.dup()
            return made
        raise last


def _words(error: Exception) -> str:
    """The innermost fault in words: what wraps it says no more, and says it as code."""
    inner: BaseException = error
    while following := _within(inner):
        inner = following
    text = (inner.strerror if isinstance(inner, OSError) else "") or str(inner)
    return " ".join(text.split())[:300] or type(inner).__name__


def _within(error: BaseException) -> BaseException | None:
    found = next((one for one in error.args if isinstance(one, Exception)), None)
    return found or (error.__cause__ if isinstance(error.__cause__, Exception) else None)
