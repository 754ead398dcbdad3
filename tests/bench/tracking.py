"""Opens and clicks a second through the real web server, beside a view that does nothing, and every one of them stored.

As a module it is what gunicorn serves: the product, with two empty pages more.
"""

from __future__ import annotations

import os
import select
import socket
import statistics
import sys
import time
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.bench import Bench

if "gunicorn" in sys.argv[0]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django

    django.setup()
    from django.http import HttpRequest, HttpResponse

    from console.registry import Page, register

    def empty(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    register(
        # Answered as an open or a click is, and as any other public page.
        Page(name="bench-bare", route="bench-bare/", view=empty, title="", public=True, bare=True),
        Page(name="bench-empty", route="bench-empty/", view=empty, title="", public=True),
    )
    from console.wsgi import application  # noqa: F401  (what gunicorn serves)

CONNECTIONS = 16
ROUNDS = 5
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"


def part_tracking(bench: Bench) -> None:
    """Messages, each opened and clicked about once."""
    from django.core.management import call_command

    from console.supervisor import parts
    from delivery.models import Message
    from tests.bench import world
    from tracking.links import tokens
    from tracking.models import Event

    call_command("collectstatic", verbosity=0, interactive=False)
    figures, messages = bench.figures, min(bench.messages, 10_000)
    world.older_mail(messages, days=0.02)
    rows = list(Message.objects.order_by("-pk").values_list("pk", "version_id")[:messages])
    plain = _version_without_variables(rows[0][1])
    paths = {
        "empty": ["/bench-bare/"] * messages,
        "open": [f"/o/{tokens().open(pk)}.gif" for pk, _version in rows],
        "click": [f"/c/{tokens().click(pk, 0, plain)}" for pk, _version in rows],
        "click_with_variable": [f"/c/{tokens().click(pk, 1, version)}" for pk, version in rows],
        "empty_through_all_middleware": ["/bench-empty/"] * messages,
    }
    [web] = parts(["web"])
    web.command = [word.replace("console.wsgi", "tests.bench.tracking") for word in web.command]
    address = _free_address()
    web.command[web.command.index("--bind") + 1] = ":".join(map(str, address))
    web.start()
    try:
        _wait_for(address)
        warm = messages // 20
        for kind in paths.values():
            rate(address, kind[:warm])
        rates: dict[str, list[float]] = {name: [] for name in paths}
        share = messages // ROUNDS
        for number in range(ROUNDS):
            for name, kind in paths.items():
                rates[name].append(rate(address, kind[number * share : (number + 1) * share]))
        asked = sum(warm + share * ROUNDS for name in paths if "empty" not in name)
    finally:
        if web.process is not None:
            web.process.terminate()
            web.process.wait(20)
        web.kill()
    stored = Event.objects.count()
    for name, found in rates.items():
        figures[f"tracking_{name}_per_s"] = round(statistics.median(found))
    # Beside an empty view that is answered as shortly, and beside one as every other page has it.
    for name in ("open", "click", "click_with_variable"):
        for basis, suffix in (("empty", ""), ("empty_through_all_middleware", "_to_usual_view")):
            ratios = [one / empty for one, empty in zip(rates[name], rates[basis], strict=True)]
            figures[f"tracking_{name}_ratio{suffix}"] = round(statistics.median(ratios), 3)
    figures["tracking_hits"], figures["tracking_hits_stored"] = asked, stored
    if stored != asked:
        raise RuntimeError(f"{asked} hits were answered, {stored} stored.")


def _version_without_variables(version_id: int) -> int:
    """The bench's links hold the customer's number; most links in mail hold nothing."""
    from delivery.models import TemplateVersion

    version = TemplateVersion.objects.get(pk=version_id)
    html = version.html.replace("?for={{customer}}", "")
    return TemplateVersion.objects.create(template=version.template, number=99, type="html", html=html, text="").pk


def _free_address() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", probe.getsockname()[1]


def _wait_for(address: tuple[str, int]) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            _ask(address, ["/bench-empty/"])
            return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)


def rate(address: tuple[str, int], paths: list[str]) -> float:
    """Requests a second, asked by a process of its own over connections that are kept."""
    context = get_context("spawn")
    parent, child = context.Pipe(duplex=False)
    process = context.Process(target=_client, args=(address, paths, child))
    process.start()
    child.close()
    try:
        return float(parent.recv())
    finally:
        process.join()


def _client(address: tuple[str, int], paths: list[str], answer: Any) -> None:
    begun = time.perf_counter()
    _ask(address, paths)
    answer.send(len(paths) / (time.perf_counter() - begun))


def _ask(address: tuple[str, int], paths: list[str]) -> None:
    """GET all of them: CONNECTIONS at a time, each waiting for its answer before it asks again."""
    todo = [_request(path) for path in reversed(paths)]
    poll, connections, got = select.poll(), {}, {}
    left = len(todo)

    def ask() -> None:
        if todo:
            connection = socket.create_connection(address, timeout=30)
            connections[connection.fileno()] = connection
            got[connection.fileno()] = b""
            poll.register(connection, select.POLLIN)
            connection.sendall(todo.pop())

    for _number in range(CONNECTIONS):
        ask()
    while left:
        for number, _event in poll.poll(30_000):
            connection = connections[number]
            got[number] += connection.recv(65536)
            if not _whole(got[number]):
                continue
            assert got[number][9:12] in (b"200", b"302"), got[number][:200]
            left -= 1
            if b"connection: close" in got[number].lower():
                poll.unregister(connection)
                connections.pop(number).close()
                ask()
            elif todo:
                got[number] = b""
                connection.sendall(todo.pop())
    for connection in connections.values():
        connection.close()


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {BROWSER}\r\nAccept: */*\r\n\r\n".encode()


def _whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        assert data, "the server hung up"
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)
