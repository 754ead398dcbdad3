"""User agents as people know them."""

from __future__ import annotations

import re

import pytest

from tracking import clients


def test_the_list_of_clients_holds_together() -> None:
    assert clients.problems(clients.known()) == []


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "Gmail (image proxy)",
        ),
        ("Mozilla/5.0", "Apple Mail (privacy proxy)"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Mobile/15E148",
            "Apple Mail on iPhone",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
            "Safari/537.36",
            "Chrome on Windows",
        ),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0", "Thunderbird on Linux"),
        (
            "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Win64; x64; Trident/7.0; ms-office; MSOffice 16)",
            "Outlook",
        ),
        ("Something/1.0", ""),
        ("", ""),
    ],
)
def test_a_program_is_named_as_people_know_it(agent: str, name: str) -> None:
    assert clients.client_name(agent) == name


SYSTEM = '[[system]]\nname = "Mac"\npattern = "Mac"\n'


def test_a_list_that_contradicts_itself_is_found_out() -> None:
    text = (
        '[[client]]\nname = "A"\npattern = "a"\nsample = ["xax"]\n'
        '[[client]]\nname = "B"\npattern = "ab"\nsample = ["ab"]\n'
        '[[client]]\nname = "C"\npattern = "c"\n' + SYSTEM
    )
    assert clients.problems(clients.read(text)) == ["B: its sample ends at A: ab", "C: it has no sample"]


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ('name = "A"\npattern = "("', re.error),
        ('name = "A"', KeyError),
        ('name = "A"\npattern = "a"\nsistem = false', ValueError),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(entry: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        clients.read(f"[[client]]\n{entry}\n{SYSTEM}")
