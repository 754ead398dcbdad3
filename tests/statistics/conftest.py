"""The engine's world, for statistics of mail that was really sent."""

from __future__ import annotations

from tests.engine.conftest import hasty, outside, sender

__all__ = ["hasty", "outside", "sender"]
