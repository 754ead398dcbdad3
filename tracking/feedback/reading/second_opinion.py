"""What flufl.bounce finds in a notice. It knows forms of mail servers that are no more, and some that are."""

from __future__ import annotations

import logging
from email.message import Message
from typing import Final

from flufl.bounce import all_failures

from tracking.feedback.reading.addresses import first
from tracking.feedback.reading.mime import Headers
from tracking.feedback.reading.notice import Notice

# It says so of every detector that it tries.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)

_HEADERS: Final = ("from", "subject", "x-mailer", "x-failed-recipients", "received")
_LINES_MAX: Final = 400


def failures(headers: Headers, notice: Notice) -> list[str]:
    """Addresses that failed. Handed a flat mail made of what we have read, not the one that came."""
    message = Message()
    for name in _HEADERS:
        if value := headers.get(name):
            message[name] = value.encode("ascii", "replace").decode().replace("\n", " ")
    message["Content-Type"] = "text/plain"
    message.set_payload("\n".join(notice.lines[:_LINES_MAX]).encode("ascii", "replace").decode())
    try:
        temporary, permanent = all_failures(message)
    except Exception:  # whatever it stumbles over, our own reader comes next
        return []
    found = filter(None, (first(one.decode("ascii", "replace")) for one in permanent or temporary))
    return sorted(found, key=notice.place)
