"""Which hits are a machine's: the rules, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracking import automatic, checks

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"
GMAIL_FETCH = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 "
    "Safari/537.36 Edge/12.246 Mozilla/5.0"
)
GMAIL_PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


def test_the_rules_hold_together() -> None:
    assert automatic.problems(automatic.rules()) == []


@pytest.mark.parametrize(
    ("agent", "hints", "seconds", "rule"),
    [
        (BROWSER, (), None, ""),
        (BROWSER, (), 3.0, ""),
        (BROWSER, (), 2.0, "at_once"),
        (BROWSER, (), -0.5, "at_once"),
        (BROWSER, (("HTTP_PURPOSE", "prefetch"),), 60.0, "prefetch"),
        (BROWSER, (("HTTP_SEC_PURPOSE", "prefetch;prerender"),), 60.0, "prefetch"),
        (BROWSER, (("HTTP_X_MOZ", "prefetch"),), 60.0, "prefetch"),
        (BROWSER, (("HTTP_PURPOSE", "reading"),), 60.0, ""),
        (GMAIL_FETCH, (), 60.0, "gmail_fetch"),
        (GMAIL_PROXY, (), 60.0, ""),
        ("Mozilla/5.0", (), 60.0, ""),
        ("Mozilla/5.0", (), 1.0, "at_once"),
        ("Mozilla/5.0 (compatible; BarracudaCentral/1.0)", (), 60.0, "scanner"),
        ("WhatsApp/2.23.20.0", (), 60.0, "preview"),
        ("curl/8.4.0", (), 1.0, "robot"),
        (
            "Mozilla/5.0 (Linux; Android 11; CUBOT X30) AppleWebKit/537.36 Chrome/96.0 Mobile Safari/537.36",
            (),
            60.0,
            "",
        ),
        ("", (), 60.0, ""),
    ],
)
def test_a_hit_is_judged(agent: str, hints: tuple[tuple[str, str], ...], seconds: float | None, rule: str) -> None:
    assert automatic.judge(agent, hints, seconds) == rule


@pytest.mark.parametrize(
    ("clicks", "links", "burst"),
    [
        # Three of four places within five seconds.
        ([(0, "a"), (1, "b"), (4, "c")], 4, {0, 1, 2}),
        # Three of ten are not most of them.
        ([(0, "a"), (1, "b"), (4, "c")], 10, set()),
        # A mail of two links can't be told from a person who clicks both.
        ([(0, "a"), (1, "b")], 2, set()),
        # The same link again and again is no burst.
        ([(0, "a"), (1, "a"), (2, "a"), (3, "b")], 3, set()),
        # A person takes longer.
        ([(0, "a"), (3, "b"), (6, "c")], 3, set()),
        # What came before and after stays a person's.
        ([(0, "a"), (60, "a"), (61, "b"), (61, "c"), (62, "a"), (70, "b")], 3, {1, 2, 3, 4}),
        ([], 5, set()),
    ],
)
def test_a_burst_over_most_links_is_found(clicks: list[tuple[float, str]], links: int, burst: set[int]) -> None:
    assert automatic.bursts(clicks, links) == burst


def test_every_rule_says_in_words_what_it_saw() -> None:
    assert all(automatic.title(rule.name) != rule.name for rule in automatic.rules())
    assert automatic.title(automatic.burst_rule()) == "most links of the mail within seconds"
    assert automatic.title("a rule of former times") == "a rule of former times"


@pytest.mark.parametrize(
    "entry",
    [
        'name = "a"\ntitle = "A"',
        'name = "a"\ntitle = "A"\npattern = "x"\nafter_delivery = 2',
        'name = "a"\ntitle = "A"\npatern = "x"',
    ],
)
def test_a_rule_that_says_nothing_or_too_much_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="a:"):
        automatic.read(f"[[rule]]\n{entry}")


def test_rules_that_contradict_each_other_are_found_out() -> None:
    text = '[[rule]]\nname = "a"\ntitle = "A"\npattern = "x"\nsample = ["x"]\n'
    again = '[[rule]]\nname = "b"\ntitle = "B"\npattern = "xy"\nsample = ["xy"]\n'
    assert automatic.problems(automatic.read(text + again + text)) == ["a: twice", "b: its sample ends at a: xy"]


def test_check_says_what_is_wrong_with_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.rules_hold_together(None) == []
    for text, said in (
        ('[[rule]]\nname = "a"\ntitle = "A"\npattern = "x"', "a: it has no sample"),
        ('[[rule]]\nname = "a"\ntitle = "A"\npattern = "("', "unterminated"),
        ('[[rule]]\ntitle = "A"\npattern = "x"', "lacks 'name'"),
        ("[[rule", "Expected"),
    ):
        path = tmp_path / "automatic.toml"
        path.write_text(text)
        monkeypatch.setattr(automatic, "RULES", path)
        monkeypatch.setattr(automatic, "rules", lambda: automatic.read(automatic.RULES.read_text()))
        (found,) = checks.rules_hold_together(None)
        assert said in found.msg
