"""Each form in which mail servers and mail programs write is read for what it is, whom it is about and why."""

from __future__ import annotations

import pytest

from tests.feedback.samples import SAMPLES
from tracking.feedback.read import read


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_mail_is_read_for_what_it_says(sample):
    found = read(sample.raw)
    first = found.recipients[0] if found.recipients else None
    why = (first.kind, first.reason) if first else ("", "")
    assert (found.type, *why) == (sample.type, sample.kind, sample.reason)
    assert [one.recipient for one in found.recipients] == sample.recipients


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_line_ends_make_no_difference(sample):
    for end in (b"\r\n", b"\r"):
        assert read(sample.raw.replace(b"\n", end)) == read(sample.raw)
