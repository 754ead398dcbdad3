"""User agent → the program that it names, as people know it. Pure: what is known stands in rules/clients.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

RULES: Final = Path(__file__).parent / "rules" / "clients.toml"


@dataclass(frozen=True, slots=True)
class Client:
    """One entry of the file; see its head for what the fields mean."""

    name: str
    pattern: re.Pattern[str]
    system: bool = True
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clients:
    clients: tuple[Client, ...]
    systems: tuple[Client, ...]

    def name(self, agent: str) -> str:
        client = self.client(agent)
        if client is None:
            return ""
        system = next((one.name for one in self.systems if one.pattern.search(agent)), "") if client.system else ""
        return f"{client.name} on {system}" if system else client.name

    def client(self, agent: str) -> Client | None:
        return next((one for one in self.clients if one.pattern.search(agent)), None)


@lru_cache(maxsize=4096)
def client_name(agent: str) -> str:
    """“Chrome on Android”; "" for a program that is not known."""
    return known().name(agent)


@cache
def known() -> Clients:
    """The clients in use. Raises KeyError, ValueError or re.error for a file that does not hold together."""
    return read(RULES.read_text(encoding="utf-8"))


def read(text: str) -> Clients:
    """Raises KeyError, ValueError (TOML as well) or re.error."""
    data = tomllib.loads(text)
    return Clients(tuple(_entries(data["client"])), tuple(_entries(data["system"])))


def _entries(rows: list[dict[str, object]]) -> Iterator[Client]:
    for row in rows:
        unknown = row.keys() - {"name", "pattern", "system", "sample"}
        if unknown:
            raise ValueError(f"{row['name']}: unknown fields {sorted(unknown)}")
        samples = row.get("sample", [])
        assert isinstance(samples, list)
        pattern = re.compile(str(row["pattern"]), re.IGNORECASE)
        yield Client(str(row["name"]), pattern, bool(row.get("system", True)), tuple(map(str, samples)))


def problems(clients: Clients) -> list[str]:
    """What is wrong: a client without a sample, or one whose sample ends at another."""
    found = []
    for one in clients.clients:
        if not one.samples:
            found.append(f"{one.name}: it has no sample")
        for sample in one.samples:
            ends = clients.client(sample)
            if ends is not one:
                found.append(f"{one.name}: its sample ends at {ends.name if ends else 'nothing'}: {sample}")
    return found
