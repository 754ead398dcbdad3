"""The addresses at which mail comes back to us, at the bounce host of each sender domain. Pure."""

from __future__ import annotations

# What stands before the token (tokens.py): bounce mails, and mails that unsubscribe. A local part stays within 64.
BOUNCE, UNSUBSCRIBE = "b+", "u+"
# Feedback loops are registered with this one.
REPORTS = "fbl"


def bounce_host(domain: str) -> str:
    """Where bounces of a sender domain go: the host part of its envelope senders."""
    return f"bounce.{domain}"


def return_path(token: str, domain: str) -> str:
    """The envelope sender of a message."""
    return f"{BOUNCE}{token}@{bounce_host(domain)}"


def way_out(token: str, domain: str) -> str:
    """Where a mail unsubscribes the message's recipient (RFC 2369)."""
    return f"{UNSUBSCRIBE}{token}@{bounce_host(domain)}"
