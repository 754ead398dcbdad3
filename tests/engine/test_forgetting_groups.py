"""An engine does not remember every group that it ever had to do with."""

from __future__ import annotations

import time

import pytest

from delivery.engine import permits
from delivery.engine.permits import Permits
from delivery.models import LimitGroup

pytestmark = pytest.mark.django_db


def test_groups_of_which_nothing_is_wanted_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits, "GROUPS_KEPT", 3)
    groups = [LimitGroup.objects.create(name=f"domain:{n}.example").pk for n in range(6)]
    known = Permits(worker=1)
    known.refresh(groups, workers=1)
    ip = known.ips[0]
    known.known[groups[1], ip].open = 1
    known.forget(but_for=[])
    assert {group for group, _ip in known.known} == set(groups)
    monkeypatch.setattr(permits, "FORGET_SECONDS", -10.0)
    known.forget(but_for=[groups[0]])
    assert {group for group, _ip in known.known} == set(groups[:2])
    # What is wanted again is found again, with the lease that it had.
    assert known.refresh(groups, workers=1) == groups
    assert all(known.known[group, ip].valid(time.monotonic()) for group in groups)
