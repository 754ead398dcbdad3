"""Arrays written by hand arrive as they were."""

from __future__ import annotations

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from console.arrays import numbers, texts


class Arrays(TestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.none() | st.text(st.characters(blacklist_characters="\x00", blacklist_categories=("Cs",)))))
    def test_texts(self, values: list[str | None]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::text[]", [texts(values)])
            assert cursor.fetchone()[0] == values

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(-(2**63), 2**63 - 1)))
    def test_numbers(self, values: list[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::bigint[]", [numbers(values)])
            assert cursor.fetchone()[0] == values


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["NULL", "null", "{}", '"', "\\", '\\"', "a,b", " a ", "", "{1,2}", "'", "%s"])
def test_what_means_something_in_an_array_means_nothing(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text[]", [texts([value, None, value])])
        assert cursor.fetchone()[0] == [value, None, value]
