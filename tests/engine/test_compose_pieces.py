"""Pieces encoded beforehand and values encoded as they come make one body: what was written, in lines that every server
takes, with nothing left to be doubled or guessed."""

from __future__ import annotations

import re
from binascii import a2b_qp

from hypothesis import given
from hypothesis import strategies as st

from delivery.engine import quoted
from delivery.engine.compose import Composer, Letter
from delivery.engine.dkim import relaxed_body
from delivery.engine.session import has_clean_lines, stuffed
from delivery.templating import compile
from delivery.tokens import Tokens

words = st.sampled_from(
    ["a", " ", "  ", ".", "=", "\t", "ë", "語", "\x07", "x" * 30, "word ", "\r\n", "\r\n.", " \r\n", "From "]
)
texts = st.lists(words, max_size=14).map("".join)
COMPOSER = Composer(
    compile(
        "<p>  {{a}}{{b}}\t . <a href='https://x.test/?q={{a}}'>Go {{b}}</a></p>", "{{a}}\n.{{b}}  {{a}}", batch=True
    ),
    Tokens({1: b"k" * 32}),
    1,
)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_pieces_and_values_join_to_what_was_written(parts: list[tuple[str, str]]) -> None:
    encoded, signed = b"", b""
    for literal, value in parts:
        piece = quoted.piece(literal)
        encoded += piece + quoted.value(value)
        signed += quoted.relaxed(piece) + quoted.value(value)
    encoded, signed = encoded + b"--\r\n", signed + b"--\r\n"
    assert a2b_qp(encoded) == "".join(literal + value for literal, value in parts).encode() + b"--\r\n"
    for line in encoded.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.startswith(b".")
        assert not line.endswith((b" ", b"\t"))
    assert signed == relaxed_body(encoded)


@given(texts, texts)
def test_what_is_said_of_a_body_is_true(a: str, b: str) -> None:
    letter = Letter(
        7, "news@example.com", "taro@example.org", "Hi", values={"a": a, "b": b}, public_url="https://t.example"
    )
    mail = COMPOSER.compose(letter, 0)
    content = mail.as_bytes()
    assert mail.plain
    assert has_clean_lines(content)
    assert stuffed(content) == content + b".\r\n"
    assert mail.relaxed == relaxed_body(mail.body)
    assert not re.search(rb"[^\r\n]{77}", mail.body)
