"""Real mails that came back, from public test sets: how many are read as their labels say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.test_classify import CONCEPTS
from tracking.feedback.read import read

CORPORA = Path(__file__).parents[3] / "shared/corpora"


def samples(name: str) -> list[tuple[dict, bytes]]:
    listed = CORPORA / name
    if not listed.exists():
        pytest.skip(f"{listed} is not here")
    rows = [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
    return [(row, (CORPORA / row["file"]).read_bytes()) for row in rows]


def test_bounces_are_read_as_their_labels_say():
    fair = {concept: value.split() for key, value in CONCEPTS.items() for concept in key.split()}
    recipients, kinds, reasons = [], [], []
    for row, raw in samples("bounces.jsonl"):
        if row["type"] != "bounce":
            continue
        found = read(raw)
        wanted = [one.lower() for one in row["recipients"]]
        told = {one.recipient.lower(): one for one in found.recipients}
        recipients += [one in told for one in wanted]
        first = next((told[one] for one in wanted if one in told), None)
        if row["kind"]:
            kinds.append(first is not None and first.kind == row["kind"])
        reasons.append(first is not None and first.reason in fair[row["concept"]])
    assert len(reasons) > 180
    assert sum(recipients) >= 0.98 * len(recipients)
    assert sum(kinds) >= 0.95 * len(kinds)
    assert sum(reasons) >= 0.95 * len(reasons)


def test_no_automatic_answer_and_no_success_is_taken_for_a_bounce():
    found = {row["file"]: read(raw).type for row, raw in samples("bounces.jsonl") if row["type"] != "bounce"}
    assert len(found) == 3
    assert set(found.values()) == {"autoreply", "success"}


def test_every_complaint_is_recognised_and_the_authentication_report_told_apart():
    for row, raw in samples("arf.jsonl"):
        found = read(raw)
        assert (found.type, found.feedback_type) == (row["type"], row["feedback_type"]), row["file"]
        assert [one.recipient for one in found.recipients] == row["recipients"], row["file"]
