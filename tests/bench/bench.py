"""One run: what its parts share."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.bench.installation import Installation


@dataclass
class Rsa:
    """The bound of everything that signs: signatures a second, and milliseconds of processor time each."""

    per_second: float
    cpu_ms: float


@dataclass
class Bench:
    # Of a task of 5 KB mails, and how far the table is filled with older ones.
    messages: int
    older: int
    # Messages of the year that lists go through, and of the month that is exported.
    history: int
    exported: int
    # By name, in the order in which they are printed.
    figures: dict[str, Any] = field(default_factory=dict)
    installation: Installation = field(default_factory=Installation)

    def say(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def rsa(self, seconds: float = 3.0) -> Rsa:
        """RSA 2048 with all cores busy at once."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        stop = time.perf_counter() + seconds

        def work() -> int:
            done = 0
            while time.perf_counter() < stop:
                key.sign(b"x" * 64, padding.PKCS1v15(), hashes.SHA256())
                done += 1
            return done

        cores = os.cpu_count() or 1
        begun, cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(cores) as pool:
            done = sum(pool.map(lambda _n: work(), range(cores)))
        return Rsa(done / (time.perf_counter() - begun), 1000 * (time.process_time() - cpu) / done)
