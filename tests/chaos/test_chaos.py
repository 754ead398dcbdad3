"""The short form of `make chaos ONLY=kills`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_whatever_is_killed_nobody_is_missed_and_only_what_was_on_the_wire_comes_twice() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--only", "kills", "--messages", "1500", "--kills", "4"],
        cwd=Path(__file__).resolve().parent.parent.parent,
        # A cluster that hangs is replaced sooner than in earnest.
        env={**os.environ, "SILENT_SECONDS": "20"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    figures = json.loads(result.stdout.splitlines()[-1])
    assert (figures["requested"], figures["final"], figures["missing"]) == (1500, 1500, 0), result.stderr
    assert figures["miscounted"] == 0
    assert figures["kills"] >= 1
    assert figures["doubled"] <= figures["in_flight_at_kills"]
