"""Permits: how much of a receiver's patience may be used. One default here; providers and automatic slow-down build
on the same type."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a whole limit group; a share of it is worth its part."""

    connections: int = 20
    messages_per_connection: int = 500

    def share(self, shares: int) -> Limits:
        """What one of `shares` equal parts may do: never nothing."""
        return Limits(max(1, self.connections // max(1, shares)), self.messages_per_connection)


DEFAULT = Limits()
