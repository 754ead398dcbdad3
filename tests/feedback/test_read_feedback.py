"""`manage.py read_feedback` as it is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.feedback.samples import BY_NAME

ROOT = Path(__file__).resolve().parents[2]


def test_each_file_has_its_line_and_one_that_is_missing_stops_none(tmp_path):
    bounce, several, missing = tmp_path / "bounce.eml", tmp_path / "several.eml", tmp_path / "missing.eml"
    bounce.write_bytes(BY_NAME["classic: qmail"].raw)
    several.write_bytes(BY_NAME["reports: several recipients, several fates"].raw)
    # no database: with none to be had, it works all the same
    environment = {**os.environ, "POSTHORN_VAR": str(tmp_path / "var")}
    command = [sys.executable, "manage.py", "read_feedback", str(bounce), str(missing), str(several)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert b"1 of 3 files could not be read" in done.stderr
    assert not (tmp_path / "var" / "postgres").exists()
    first, none, last = map(json.loads, done.stdout.splitlines())
    assert first == {
        "file": str(bounce),
        "type": "bounce",
        "recipients": ["finch@wren.example"],
        "kind": "permanent",
        "reason": "not_exist",
        "status": "5.1.1",
        "diagnostic": first["diagnostic"],
    }
    assert "User Unknown" in first["diagnostic"]
    assert set(none) == {"file", "error"}
    assert (last["recipients"], last["reason"]) == (["finch@wren.example"], "spam")
