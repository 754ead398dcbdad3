"""The short form of `make chaos ONLY=machines`, on the tests' own database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import parts


@pytest.mark.django_db(transaction=True)
def test_two_machines_share_mail_and_keep_within_limits_while_a_worker_is_killed_and_another_frozen(
    settings: Any, tmp_path: Path
) -> None:
    settings.VAR = tmp_path
    settings.LEASE_SECONDS = 4
    line, as_it_should_be = parts.machines(800)
    assert as_it_should_be, json.dumps(line)
