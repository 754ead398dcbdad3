"""The public pages speak as the browser asks, and every word of theirs is in every catalogue."""

from __future__ import annotations

import gettext
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils.translation.template import templatize
from hypothesis import given
from hypothesis import strategies as st

from console.languages import LANGUAGES, preferred
from suppression.models import UnsubscribeReason
from tests.tracking.mail import send

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = sorted((ROOT / "locale").glob("*/LC_MESSAGES/django.po"))
PAGES = ("public", "unsubscribe", "unsubscribed", "resubscribe", "resubscribed", "too_many", "not_valid")
QUOTED = re.compile(r"gettext\(u?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")


def marked() -> set[str]:
    """What is marked for translation on the public pages."""
    found = {label for _value, label in UnsubscribeReason.choices}
    for name in PAGES:
        source = templatize((ROOT / f"templates/tracking/{name}.html").read_text())
        found |= {eval(text) for text in QUOTED.findall(source)}
    return {str(text) for text in found}


def compiler() -> Any:
    spec = importlib.util.spec_from_file_location("compile_catalogues", ROOT / "locale/compile.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ja", "ja"),
        ("ja-JP,ja;q=0.9,en-US;q=0.8", "ja"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt-br"),
        ("pt-PT", "pt-br"),
        ("zh-CN,zh;q=0.9", "zh-hans"),
        ("zh-Hans-SG", "zh-hans"),
        ("de,fr;q=0.9", "en"),
        ("de,ja;q=0.2,en;q=0.1", "ja"),
        ("en;q=0.3, zh;q=0.7", "zh-hans"),
        ("en;q=0, ja;q=0.1", "ja"),
        ("ja;q=nan", "en"),
        ("ja;q=7", "en"),
        ("*", "en"),
        (",,;;q=,", "en"),
        ("x" * 10_000 + ",ja", "en"),
    ],
)
def test_the_language_that_the_browser_likes_best_is_chosen(header: str, language: str) -> None:
    assert preferred(header) == language


@given(st.text())
def test_any_header_gives_a_language(header: str) -> None:
    assert preferred(header) in LANGUAGES


def test_there_is_a_catalogue_for_each_language_but_english() -> None:
    assert {path.parts[-3].lower().replace("_", "-") for path in CATALOGUES} == set(LANGUAGES) - {"en"}


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_has_every_word_of_the_pages_no_more_and_is_compiled(path: Path) -> None:
    read = compiler().read(path.read_text("utf-8"))
    assert set(read) - {""} == marked()
    with path.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for text, translation in read.items():
        assert not text or compiled.gettext(text) == translation, "Run locale/compile.py."
        assert set(re.findall(r"%\(\w+\)s", text)) == set(re.findall(r"%\(\w+\)s", translation))
        assert re.findall("<[^>]+>", text) == re.findall("<[^>]+>", translation)


@pytest.mark.parametrize(
    ("code", "heading", "reason"),
    [
        ("ja", "このメールの配信を停止しますか？", "これは迷惑メールです"),
        ("pt-br", "Parar de receber estes e-mails?", "Isto é spam"),
        ("zh-hans", "不再接收这些邮件？", "这是垃圾邮件"),
        ("en", "Stop these emails?", "This is spam"),
    ],
)
def test_the_page_is_in_the_language_asked_for(db: None, client: Client, code: str, heading: str, reason: str) -> None:
    path = send().unsubscribe
    for answer in (client.get(path, HTTP_ACCEPT_LANGUAGE=code), client.get(path, {"lang": code})):
        shown = answer.content.decode()
        assert heading in shown
        assert reason in shown
        assert f'<html lang="{code}">' in shown
        assert answer["Content-Language"] == code
        assert "Accept-Language" in answer["Vary"]


def test_a_language_that_there_is_not_is_no_error(db: None, client: Client) -> None:
    assert "Stop these emails?" in client.get(send().unsubscribe, {"lang": "../xx"}).content.decode()


def test_the_console_stays_in_english(viewer: Client) -> None:
    shown = viewer.get("/unsubscriptions/", HTTP_ACCEPT_LANGUAGE="ja").content.decode()
    assert '<html lang="en">' in shown
    assert "Unsubscriptions" in shown
