"""What the contract tests need of each page: rows for its list, an object for its URL. One file a feature.

@rows("domains")                  # the list's name: make n rows that the list shows
def domains(n: int) -> None: ...

@url_of("domain", "domain-delete")     # pages whose URL has parts: give them
def domain() -> dict[str, Any]: return {"pk": SenderDomainFactory().pk}
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

ROWS: dict[str, Callable[[int], None]] = {}
KWARGS: dict[str, Callable[[], dict[str, Any]]] = {}


def rows(*names: str) -> Callable[[Callable[[int], None]], Callable[[int], None]]:
    def keep(make: Callable[[int], None]) -> Callable[[int], None]:
        ROWS.update(dict.fromkeys(names, make))
        return make

    return keep


def url_of(*names: str) -> Callable[[Callable[[], dict[str, Any]]], Callable[[], dict[str, Any]]]:
    def keep(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
        KWARGS.update(dict.fromkeys(names, make))
        return make

    return keep


def load() -> None:
    for info in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{info.name}")
