"""A real HTTP server that takes callbacks, or misbehaves."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver(ThreadingHTTPServer):
    """`behave` answers a request; `taken` has (headers, body) of those that were answered with 2xx, in order."""

    daemon_threads = True
    block_on_close = False
    # Room for all that are connected at once: who finds none tries again after a second.
    request_queue_size = 128

    def __init__(self, behave: Callable[[Handler], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave
        self.asked: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        # Bytes that somebody took of `floods`.
        self.flooded = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/events?shop=1"

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _headers, body in self.asked]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((dict(self.headers), body))
        self.server.behave(self)

    do_GET = do_POST

    def answer(self, code: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def takes(handler: Handler) -> None:
    handler.answer(200, b"ok")


def fails(handler: Handler) -> None:
    handler.answer(500, b"out of order")


def hangs(handler: Handler) -> None:
    time.sleep(2)
    handler.close_connection = True


def drips(handler: Handler) -> None:
    """A byte of the head now and then: no single wait is long."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 100:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.1)


def hangs_up(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def floods(handler: Handler) -> None:
    """Ten gigabytes, as far as anybody takes them."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(10 * 1024**3))
    handler.end_headers()
    block = b"z" * 65536
    for _ in range(10 * 1024**3 // len(block)):
        handler.wfile.write(block)
        handler.server.flooded += len(block)


@contextmanager
def receiving(behave: Callable[[Handler], None] = takes) -> Iterator[Receiver]:
    with Receiver(behave) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
