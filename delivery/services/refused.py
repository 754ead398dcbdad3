"""What every service says when it does not do what was asked for."""

from __future__ import annotations


class Refused(ValueError):
    """Nothing was made or changed; the text says what to do. `field` is the form's field that it belongs to."""

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(text)
        self.field = field
