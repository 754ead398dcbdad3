"""What counts as an address, and when two are the same."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.address import (
    REASONS,
    Address,
    MalformedAddress,
    is_address,
    mailbox_provider,
    parse,
    receiving_domain,
)

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "addresses.jsonl"


def code_of(text: str) -> str:
    with pytest.raises(MalformedAddress) as caught:
        parse(text)
    assert caught.value.reason == REASONS[caught.value.code] == str(caught.value)
    return caught.value.code


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real addresses is not beside the project")
def test_agrees_with_the_labels_of_the_public_test_sets():
    rows = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    labelled = [row for row in rows if row["label"] != "edge"]
    wrong = [row["address"] for row in labelled if is_address(row["address"]) != (row["label"] == "valid")]
    assert len(labelled) > 50
    assert len(wrong) / len(labelled) <= 0.03, wrong


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real addresses is not beside the project")
def test_refuses_the_odd_ones_with_advice_and_never_otherwise():
    for line in CORPUS.read_text("utf-8").splitlines():
        try:
            parse(json.loads(line)["address"])
        except MalformedAddress as malformed:
            assert malformed.reason.endswith(".")


@pytest.mark.parametrize(
    ("typed", "canonical", "key"),
    [
        ("Ann.Lee@Example.COM", "Ann.Lee@example.com", "ann.lee@example.com"),
        ("  ann@example.com\t", "ann@example.com", "ann@example.com"),
        ("\ufeffann@example.com\u200b", "ann@example.com", "ann@example.com"),
        ("\u3000ann@example.com\u00a0", "ann@example.com", "ann@example.com"),
        ("success+a1@simulator.test", "success+a1@simulator.test", "success+a1@simulator.test"),
        ("ann@localhost", "ann@localhost", "ann@localhost"),
        ("ann@host.invalid", "ann@host.invalid", "ann@host.invalid"),
        ("ann@mail.example", "ann@mail.example", "ann@mail.example"),
        ("INFO@Müller.de", "INFO@xn--mller-kva.de", "info@xn--mller-kva.de"),
        ("info@XN--MLLER-KVA.de", "info@xn--mller-kva.de", "info@xn--mller-kva.de"),
        ("田中@例え.jp", "田中@xn--r8jz45g.jp", "田中@xn--r8jz45g.jp"),
        ("Élise@example.fr", "Élise@example.fr", "élise@example.fr"),
        ("E\u0301lise@example.fr", "Élise@example.fr", "élise@example.fr"),
        ("user@sld.xn--3e0b707e", "user@sld.xn--3e0b707e", "user@sld.xn--3e0b707e"),
        ("a@b-1.co.uk", "a@b-1.co.uk", "a@b-1.co.uk"),
        ("user%uucp!path@berkeley.edu", "user%uucp!path@berkeley.edu", "user%uucp!path@berkeley.edu"),
    ],
)
def test_reads_an_address_as_mailed_and_as_matched(typed: str, canonical: str, key: str):
    address = parse(typed)
    assert (address.canonical, address.key, str(address)) == (canonical, key, canonical)
    assert parse(address.canonical) == address
    assert parse(key).key == key


def test_greek_capitals_match_both_forms_of_sigma():
    assert parse("ΑΣ@example.gr").key == parse("ας@example.gr").key == parse("ασ@example.gr").key


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "empty"),
        ("  \t", "empty"),
        ("Ann Lee <ann@example.com>", "display_name"),
        ("<ann@example.com>", "display_name"),
        ("ann@example.com, bob@example.com", "several"),
        ("ann@example.com;bob@example.com", "several"),
        ("mailto:ann@example.com", "mailto"),
        ("ann lee@example.com", "space"),
        ("ann@exam ple.com", "space"),
        ("ann.example.com", "no_at"),
        ("ann@home@example.com", "several_at"),
        ("@example.com", "no_local"),
        ("ann@", "no_domain"),
        ('"ann"@example.com', "quoted"),
        ("ann@[127.0.0.1]", "ip_literal"),
        ("ann..lee@example.com", "local_dots"),
        (".ann@example.com", "local_dots"),
        ("ann.@example.com", "local_dots"),
        ("a(b)@example.com", "local"),
        ("a\u037eb@example.com", "local"),
        ("a" * 65 + "@example.com", "local_long"),
        ("é" * 33 + "@example.com", "local_long"),
        ("a" * 60 + "@" + ".".join(["b" * 60] * 4), "long"),
        ("x" * 5000 + "@example.com", "long"),
        ("ann@example", "domain_dot"),
        ("ann@1.2.3.4", "domain"),
        ("ann@example.c0m1", "domain"),
        ("ann@-example.com", "domain"),
        ("ann@exa_mple.com", "domain"),
        ("ann@example.com.", "domain"),
        ("ann@xn--a.com", "domain"),
        ("ann@" + "a" * 64 + ".com", "domain"),
        ("examp\u2551le@example.com", "damaged"),
        ("m\ufffdller@example.com", "damaged"),
    ],
)
def test_says_what_is_wrong(typed: str, code: str):
    assert code_of(typed) == code


@pytest.mark.parametrize("character", ["\r", "\n", "\r\n", "\0", "\x0b", "\x85", "\u2028", "\u202e", "\x7f", "\ud800"])
@pytest.mark.parametrize("place", ["{}ann@example.com", "a{}b@example.com", "ann@exam{}ple.com", "ann@example.com{}"])
def test_no_line_break_or_invisible_character_passes_anywhere(character: str, place: str):
    assert code_of(place.format(character)) == "control"


@given(st.text(max_size=60) | st.from_regex(r"[ -~]{0,20}@[ -~]{1,20}", fullmatch=True) | st.emails())
def test_whatever_is_taken_is_safe_in_a_header_and_on_the_wire(text: str):
    try:
        address = parse(text)
    except MalformedAddress as malformed:
        assert malformed.code in REASONS
        return
    assert not re.search(r'[\x00-\x20\x7f-\xa0,;:<>()\[\]\\"]', address.canonical)
    assert address.canonical.count("@") == 1
    assert address.domain.isascii() and address.domain == address.domain.lower()
    assert unicodedata.is_normalized("NFC", address.local)
    assert len(address.canonical.encode()) <= 254
    assert parse(address.canonical) == address
    assert parse(address.canonical.swapcase()).domain == address.domain


@given(st.from_regex(r"[a-z0-9.+_-]{1,30}@([a-z0-9-]{1,12}\.){1,3}[a-z]{2,5}", fullmatch=True))
def test_the_quick_path_and_the_close_look_agree(text: str):
    from suppression import address as module

    def outcome(function) -> Address | None:
        try:
            return function(text)
        except MalformedAddress:
            return None

    assert outcome(parse) == outcome(module._parse_closely)


def test_tells_receiving_domain_and_provider():
    assert receiving_domain(parse("ann@QQ.com")) == receiving_domain("Ann@qq.com") == "qq.com"
    assert mailbox_provider("vip.qq.com") == mailbox_provider("foxmail.com") == "tencent"
    assert mailbox_provider("example.com") == ""
    assert parse("ann@example.com").ascii and not parse("änn@example.com").ascii
