"""Tokens: only what was made here is read, and only for what it was made for."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.tokens import Tokens

KEY, NEW_KEY = b"k" * 32, b"n" * 32
TOKENS = Tokens({1: KEY})
ids = st.integers(0, 2**63 - 1)
indexes = st.integers(0, 0xFFFF)
versions = st.integers(0, 2**32 - 1)
URLSAFE = set(string.ascii_letters + string.digits + "-_")


def readings(text: str, tokens: Tokens = TOKENS) -> list[object]:
    return [
        tokens.read_bounce(text),
        tokens.read_click(text),
        tokens.read_open(text),
        tokens.read_unsubscribe(text),
        tokens.read_resubscribe(text),
    ]


@given(ids, indexes, versions)
def test_each_kind_is_read_back_as_itself_and_as_nothing_else(message_id: int, index: int, version: int) -> None:
    assert readings(TOKENS.bounce(message_id)) == [message_id, None, None, None, None]
    assert readings(TOKENS.click(message_id, index, version)) == [None, (message_id, index, version), None, None, None]
    assert readings(TOKENS.open(message_id)) == [None, None, message_id, None, None]
    assert readings(TOKENS.unsubscribe(message_id)) == [None, None, None, message_id, None]
    assert readings(TOKENS.resubscribe(message_id)) == [None, None, None, None, message_id]


@given(ids, indexes, versions)
def test_tokens_are_short_and_of_safe_characters(message_id: int, index: int, version: int) -> None:
    bounce = TOKENS.bounce(message_id)
    assert len(f"b+{bounce}") <= 64
    assert set(bounce) <= set("abcdefghijklmnopqrstuvwxyz234567")
    for make in TOKENS.open, TOKENS.unsubscribe, TOKENS.resubscribe:
        assert len(make(message_id)) == 24
        assert set(make(message_id)) <= URLSAFE
    assert len(TOKENS.click(message_id, index, version)) == 32
    assert set(TOKENS.click(message_id, index, version)) <= URLSAFE


@given(ids)
def test_a_return_path_is_read_in_any_case(message_id: int) -> None:
    assert TOKENS.read_bounce(TOKENS.bounce(message_id).upper()) == message_id
    assert TOKENS.read_bounce(TOKENS.bounce(message_id).title()) == message_id


@given(ids, indexes, versions, st.data())
def test_one_changed_character_spoils_a_token(message_id: int, index: int, version: int, data: st.DataObject) -> None:
    made = [
        TOKENS.bounce(message_id),
        TOKENS.click(message_id, index, version),
        TOKENS.open(message_id),
        TOKENS.unsubscribe(message_id),
        TOKENS.resubscribe(message_id),
    ]
    for number, token in enumerate(made):
        place = data.draw(st.integers(0, len(token) - 1))
        character = data.draw(st.characters(max_codepoint=0x2FF))
        changed = token[:place] + character + token[place + 1 :]
        same = changed.lower() == token if number == 0 else changed == token
        if not same:
            assert readings(changed) == [None] * 5


@given(st.one_of(st.text(max_size=50), st.text(sorted(URLSAFE), min_size=24, max_size=33)))
def test_garbage_is_read_as_nothing(text: str) -> None:
    assert readings(text) == [None] * 5


def test_a_token_has_one_spelling() -> None:
    token = next(one for one in map(TOKENS.open, range(1000)) if {"-", "_"} <= set(one))
    assert TOKENS.read_open(token) is not None
    for other in (token.replace("-", "+"), token.replace("_", "/"), f"{token}=", f" {token}"):
        assert readings(other) == [None] * 5


def test_a_token_is_not_good_for_another_purpose_when_its_kind_is_rewritten() -> None:
    # The first character carries the kind: 3 (open) and 4 (unsubscribe) have the same length and layout.
    token, other = TOKENS.open(7), TOKENS.unsubscribe(7)
    assert TOKENS.read_unsubscribe(other[0] + token[1:]) is None
    assert TOKENS.read_unsubscribe(other[:2] + token[2:]) is None
    # Nor can whoever has the link in the mail make the one that takes it back.
    undo = TOKENS.resubscribe(7)
    assert TOKENS.read_resubscribe(undo[:2] + other[2:]) is None


def test_the_newest_key_makes_and_older_ones_are_still_read() -> None:
    both = Tokens({1: KEY, 2: NEW_KEY})
    assert both.read_click(TOKENS.click(5, 1, 9)) == (5, 1, 9)
    assert both.open(5) == Tokens({2: NEW_KEY}).open(5)
    assert TOKENS.read_open(both.open(5)) is None
    assert Tokens({1: NEW_KEY}).read_open(TOKENS.open(5)) is None


def test_links_of_the_first_release_are_still_read() -> None:
    assert TOKENS.read_click("IQAAAAAAAAAFAAHfTCyPEx8bB5-q") == (5, 1, None)


@pytest.mark.parametrize("keys", [{}, {0: KEY}, {16: KEY}, {1: b"short"}])
def test_unusable_keys_are_refused(keys: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        Tokens(keys)
