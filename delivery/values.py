"""The values that a recipient's mail is filled with. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def merged(defaults: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """What the recipient's own row brought, and the task's defaults where it brought nothing: an empty cell counts
    as nothing."""
    values = {**defaults, **own}
    for name, value in defaults.items():
        if not values[name]:
            values[name] = value
    return values
