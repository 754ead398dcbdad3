"""The parts that send: from a task's start to its last row final, all worker processes, the sink beside them."""

from __future__ import annotations

from dataclasses import astuple

from tests.bench import world
from tests.bench.bench import Bench
from tests.bench.installation import Sent

# A provider that lets so many connections in: what a round trip takes must be made up for by their number.
MANY_CONNECTIONS = 400
LATENCY_MS = 50


def part_send(bench: Bench) -> None:
    """5 KB with 10 links each, every mail another: all to one receiving domain, and spread over 50."""
    figures = bench.figures
    signing = [bench.rsa()]
    for name, domains in (("send", 1), ("send_50_domains", 50)):
        sent = _send(bench, name, bench.messages, domains=domains)
        signing.append(bench.rsa())
        rsa, rsa_cpu_ms = (sum(values) / 2 for values in zip(*map(astuple, signing[-2:]), strict=True))
        figures[f"{name}_rsa_per_s"] = round(rsa)
        figures[name.replace("send", "send_ratio")] = round(sent.per_second / rsa, 3)
        # The same by processor time: true also where others use the machine, and what the other would be if all cores
        # were busy all the time.
        figures[name.replace("send", "send_cpu_ratio")] = round(rsa_cpu_ms / sum(sent.cpu_ms.values()), 3)
        for part, milliseconds in sent.cpu_ms.items():
            figures[f"{name}_{part}_cpu_ms"] = round(milliseconds, 3)


def part_big(bench: Bench) -> None:
    """100 KB."""
    sent = _send(bench, "send_100kb", bench.messages // 4, domains=1, template_bytes=100_000)
    bench.figures["send_100kb_mb_per_s"] = round(sent.per_second / 10)


def part_latency(bench: Bench) -> None:
    """A sink that is 50 ms away, against one that is near; both let many connections in."""
    installation, figures = bench.installation, bench.figures
    installation.send(world.filled_group("warm", 500, domains=1), sender=world.sender(), template=world.template())
    installation.connections(MANY_CONNECTIONS)
    near = _send(bench, "send_near", bench.messages, domains=1)
    installation.outside(latency_ms=LATENCY_MS)
    far = _send(bench, f"send_{LATENCY_MS}ms_away", bench.messages, domains=1)
    figures[f"send_{LATENCY_MS}ms_ratio"] = round(far.per_second / near.per_second, 2)
    installation.outside()
    installation.connections(None)


def part_domains(bench: Bench) -> None:
    """5,000 receiving domains of 4 recipients each, none of them seen before."""
    _send(bench, "send_5000_domains", 20_000, domains=5000)


def part_older(bench: Bench) -> None:
    """As the table of messages holds nothing, and a million or ten millions of older rows."""
    figures = bench.figures
    world.no_older_mail()
    base = _send(bench, "older_0", bench.messages, domains=50)
    held = 0
    for wanted in sorted({min(1_000_000, bench.older), bench.older}):
        seconds = world.older_mail(wanted - held)
        held = wanted
        figures[f"older_{wanted}_made_s"] = round(seconds)
        figures[f"older_{wanted}_gb"] = round(world.database_bytes() / 2**30, 2)
        sent = _send(bench, f"older_{wanted}", bench.messages, domains=50)
        figures[f"older_{wanted}_ratio"] = round(sent.per_second / base.per_second, 2)


def _send(bench: Bench, name: str, messages: int, *, domains: int, template_bytes: int = 5_000) -> Sent:
    group = world.filled_group(name, messages, domains=domains)
    sent = bench.installation.send(group, sender=world.sender(), template=world.template(template_bytes))
    bench.figures[f"{name}_per_s"] = round(sent.per_second)
    parts = ", ".join(f"{part} {cpu:.3f}" for part, cpu in sorted(sent.cpu_ms.items(), key=lambda item: -item[1]))
    cpu_ms = sum(sent.cpu_ms.values())
    bench.say(f"{name}: {sent.per_second:,.0f}/s; milliseconds of processor time a message: {cpu_ms:.3f} ({parts})")
    return sent
