"""What engines were told and could not write down, found by others on the same machine."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from delivery.engine import journal
from delivery.engine.journal import Journal
from delivery.engine.settle import Settled
from delivery.engine.settler import Settler
from tests.engine.test_settling import claimed
from tests.engine.world import delivered

WRITER = 7


@pytest.fixture
def writer(tmp_path: Path) -> Journal:
    """One that holds its pages still."""
    return Journal(tmp_path, WRITER)


def told(message_id: int) -> Settled:
    return delivered(claimed(message_id=message_id, token=1))


def killed(writer: Journal) -> None:
    """Its process is gone, and its locks with it."""
    for _path, descriptor in writer._pages.values():
        os.close(descriptor)
    os.close(writer._claims)


def orphaned(directory: Path) -> list[int]:
    return [one.claimed.message_id for _path, entries in journal.orphans(directory) for one in entries]


def abandoned(directory: Path) -> list[list[int]]:
    return [tokens for _path, tokens in journal.abandoned_claims(directory)]


def unheard(directory: Path, *alive: int) -> list[int]:
    return [one.claimed.message_id for entries in journal.unheard(directory, set(alive)) for one in entries]


def test_the_page_of_a_silent_engine_is_read_once(writer: Journal, tmp_path: Path) -> None:
    writer.append(told(1))
    writer.append(told(2))
    assert journal.anything_left(tmp_path, set())
    assert unheard(tmp_path) == [1, 2]
    assert unheard(tmp_path) == []
    assert not journal.anything_left(tmp_path, set())


def test_the_page_of_one_that_is_heard_of_is_its_own(writer: Journal, tmp_path: Path) -> None:
    writer.append(told(1))
    assert unheard(tmp_path, WRITER) == []
    assert not journal.anything_left(tmp_path, {WRITER})


def test_one_that_goes_on_loses_nothing(writer: Journal, tmp_path: Path) -> None:
    one, two = told(1), told(2)
    writer.append(one)
    for _entries in journal.unheard(tmp_path, set()):
        writer.append(two)  # just when its page was read
    assert unheard(tmp_path) == [1, 2]
    writer.append(told(3))
    assert unheard(tmp_path) == [3]
    writer.done([one, two])


def test_a_page_may_go_while_it_is_looked_at(writer: Journal, tmp_path: Path) -> None:
    writer.append(told(1))
    for _entries in journal.unheard(tmp_path, set()):
        next(tmp_path.glob("*.journal")).unlink()
    assert unheard(tmp_path) == []


def test_what_a_killed_engine_had_in_hand_is_given_back_once_what_it_was_told_is_settled(
    writer: Journal, tmp_path: Path
) -> None:
    writer.claimed(12345)
    writer.claimed(98765)
    writer.append(told(1))
    assert (orphaned(tmp_path), abandoned(tmp_path)) == ([], [])
    killed(writer)
    assert (orphaned(tmp_path), abandoned(tmp_path)) == ([1], [])
    next(tmp_path.glob("*.journal")).unlink()
    assert abandoned(tmp_path) == [[12345, 98765]]


def test_of_a_write_that_the_kill_cut_short_nothing_is_believed(writer: Journal, tmp_path: Path) -> None:
    writer.append(told(1))
    writer.append(told(2))
    killed(writer)
    [page] = tmp_path.glob("*.journal")
    os.truncate(page, page.stat().st_size - 1)
    assert orphaned(tmp_path) == [1]


def test_an_orderly_end_leaves_what_is_not_settled_to_the_next(writer: Journal, tmp_path: Path) -> None:
    one, two = told(1), told(2)
    writer.claimed(12345)
    writer.append(one)
    writer.append(two)
    writer.done([one])
    writer.close()
    assert orphaned(tmp_path) == [1, 2]
    next(tmp_path.glob("*.journal")).unlink()
    assert abandoned(tmp_path) == [[12345]]


def test_an_orderly_end_leaves_nothing_of_what_is_settled(writer: Journal, tmp_path: Path) -> None:
    one = told(1)
    writer.claimed(12345)
    writer.append(one)
    writer.done([one])
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_what_another_engine_has_settled_just_now_is_no_orphan(
    writer: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(told(1))
    killed(writer)
    [page] = tmp_path.glob("*.journal")
    monkeypatch.setattr("fcntl.flock", lambda _file, _how: page.unlink(missing_ok=True))
    assert orphaned(tmp_path) == []


def test_nothing_is_read_where_there_is_no_journal(tmp_path: Path) -> None:
    assert unheard(tmp_path / "nowhere") == []
    assert not journal.anything_left(tmp_path / "nowhere", set())


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may become larger: a write ends in the middle, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_full_disk_cut_short_is_said_and_takes_nothing_else_with_it(writer: Journal, tmp_path: Path) -> None:
    writer.append(told(1))
    [page] = tmp_path.glob("*.journal")
    with room(page.stat().st_size + 20):
        for _again in range(2):
            with pytest.raises(OSError):
                writer.append(told(2))
    writer.append(told(3))
    assert unheard(tmp_path) == [1, 3]


def test_a_claim_that_a_full_disk_cut_short_leaves_the_others_readable(tmp_path: Path) -> None:
    writer = Journal(tmp_path, WRITER)
    writer.claimed(12345)
    with room(9), pytest.raises(OSError):
        writer.claimed(67890)
    writer.claimed(98765)
    killed(writer)
    next(tmp_path.glob("*.journal")).unlink()
    [tokens] = abandoned(tmp_path)
    assert {12345, 98765} <= set(tokens)


def test_nothing_more_is_taken_in_hand_until_there_is_room_for_what_servers_say(tmp_path: Path) -> None:
    settler = Settler(WRITER, lambda _batch: None, lambda: 2)
    settler.journal = Journal(tmp_path, WRITER)
    settler.claimed(1)
    with room(100):
        settler.put(told(1))  # mail that is in hand is settled all the same
        with pytest.raises(OSError):
            settler.claimed(2)
    settler.claimed(3)
    settler.put(told(2))
    assert unheard(tmp_path) == [2]


def test_where_no_further_file_can_be_opened_a_page_grows(
    writer: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PAGE_BYTES", 1)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        writer.append(told(1))
        writer.append(told(2))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(list(tmp_path.glob("*.journal"))) == 1
    writer.append(told(3))
    writer.append(told(4))
    assert unheard(tmp_path) == [1, 2, 3, 4]
    assert len(list(tmp_path.glob("*.journal"))) == 3
