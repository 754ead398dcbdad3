"""Where the settings come from: the environment, `var/`, and keys that are made once and kept.

Two ways to run are told apart here alone. *Embedded*: no `DATABASE_URL`, everything under `var/`, keys are
made on the first start. *Production*: `DATABASE_URL` is given, and then the keys must be given too.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

VAR = Path(env.str("POSTHORN_VAR", default=str(BASE_DIR / "var"))).resolve()
EMBEDDED = not env.str("DATABASE_URL", default="") or env.bool("POSTHORN_EMBEDDED", default=False)


def kept_secret(name: str, nbytes: int = 32) -> str:
    """The secret `name` from the environment, or from `var/keys/`, where it is made on first use.

    Secrets are text of the form that the setting wants: hex of `nbytes` random bytes.
    Raises ImproperlyConfigured in production when the environment does not give it.
    """
    given = env.str(name, default="")
    if given:
        return given
    if not EMBEDDED:
        raise ImproperlyConfigured(f"Set {name} in the environment: with DATABASE_URL no key is made by itself.")
    path = VAR / "keys" / name.lower()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(nbytes))
        try:
            # link() fails where the name exists, so two first starts side by side agree on one key.
            os.link(fresh, path)
        except FileExistsError:
            pass
        fresh.unlink()
    return path.read_text().strip()


def at_least(name: str, *, default: int, least: int = 0) -> int:
    """A whole number from the environment. Raises ImproperlyConfigured for one below `least`: of what is kept for -1
    months, nothing would be."""
    value = env.int(name, default=default)
    if value < least:
        raise ImproperlyConfigured(f"{name} is {value}: it must be {least} or more.")
    return int(value)


def versioned_keys(name: str) -> dict[int, bytes]:
    """Keys by version out of `1:HEX,2:HEX`; a bare `HEX` is version 1. The highest version makes, all are accepted.

    Versions are 1 to 15: they share a byte with a token's kind.
    """
    keys: dict[int, bytes] = {}
    for part in kept_secret(name).split(","):
        version, _, value = part.strip().rpartition(":")
        number = int(version or 1)
        if not 1 <= number <= 15:
            raise ImproperlyConfigured(f"{name}: key versions run from 1 to 15, not {number}.")
        keys[number] = bytes.fromhex(value)
    return keys
