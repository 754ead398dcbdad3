"""A picture is told by its bytes; what is none, or is cut off, is refused and never raises anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracking import pictures
from tracking.images import Measured, NotAnImage, measure

KNOWN = {
    "png": (pictures.png(640, 120), Measured("image/png", 640, 120)),
    "gif": (pictures.GIF, Measured("image/gif", 3, 2)),
    "jpeg": (pictures.JPEG, Measured("image/jpeg", 5, 4)),
    "webp, lossy": (pictures.WEBP_LOSSY, Measured("image/webp", 7, 6)),
    "webp, lossless": (pictures.WEBP_LOSSLESS, Measured("image/webp", 9, 6)),
    "webp, extended": (pictures.WEBP_EXTENDED, Measured("image/webp", 11, 9)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_each_kind_is_measured(name: str) -> None:
    data, found = KNOWN[name]
    assert measure(data) == found


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_cut_off_before_its_size_is_refused(name: str) -> None:
    data, _found = KNOWN[name]
    for length in range(10):
        with pytest.raises(NotAnImage):
            measure(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<!doctype html><script>alert(1)</script>",
        b"%PDF-1.7",
        b"BM" + b"\0" * 60,
        pictures.png(1, 1)[:16] + b"\0" * 20,
        b"\xff\xd8\xff\xe0\x00\x00" + b"\0" * 60,
        b"\xff\xd8\xff\xd9",
        b"RIFF\0\0\0\0WEBPXXXX" + b"\0" * 40,
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        measure(data)


@given(st.sampled_from([b"", *(data[:n] for data, _ in KNOWN.values() for n in (4, 12, 24))]), st.binary(max_size=200))
def test_no_file_raises_anything_else(head: bytes, rest: bytes) -> None:
    try:
        found = measure(head + rest)
    except NotAnImage:
        return
    assert found.width > 0
    assert found.height > 0
