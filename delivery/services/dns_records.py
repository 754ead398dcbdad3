"""What a sender domain must publish, and whether what DNS answers will do. Pure: DNS is asked by the caller."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from delivery.dns import Answer
from delivery.engine.dkim import txt_record
from delivery.return_path import bounce_host

MATCHES, MISSING, DIFFERS, SEVERAL, NOT_SET, NO_ANSWER = (
    "matches",
    "missing",
    "differs",
    "several",
    "not_set",
    "no_answer",
)
# RFC 7208 §4.6.4: more lookups than this make an SPF record a permanent error.
SPF_LOOKUPS = 10

AskTxt = Callable[[str], Answer]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A record to publish. `purpose` is a value of DnsRecord.Purpose."""

    purpose: str
    type: str
    host: str
    expected: str
    required: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is a value of DnsRecord.State; `current` is what DNS said, one value a line."""

    state: str
    current: str


def wanted_records(
    name: str, selector: str, public_key: str, *, sending_ips: Sequence[str], mail_host: str, tracking_host: str
) -> list[Wanted]:
    """All records of a new sender domain. Needed: DKIM, the bounce host's MX and SPF, DMARC.

    The domain's own SPF is not needed: receivers check SPF at the envelope sender's domain, the bounce host, which
    aligns with the domain (RFC 7489 §3.1.2).
    """
    spf = spf_record(sending_ips, mail_host)
    bounce = bounce_host(name)
    found = [
        Wanted("dkim", "TXT", dkim_host(selector, name), txt_record(public_key), True),
        Wanted("bounce_mx", "MX", bounce, f"10 {mail_host}", True),
        Wanted("bounce_spf", "TXT", bounce, spf, True),
        Wanted("dmarc", "TXT", f"_dmarc.{name}", "v=DMARC1; p=none", True),
        Wanted("spf", "TXT", name, spf, False),
    ]
    if tracking_host:
        found.append(Wanted("tracking", "CNAME", f"track.{name}", tracking_host, False))
    return found


def dkim_host(selector: str, name: str) -> str:
    return f"{selector}._domainkey.{name}"


def spf_record(sending_ips: Sequence[str], mail_host: str) -> str:
    """Names each sending IP; the mail host's addresses where none is set."""
    terms = [f"ip{ipaddress.ip_address(ip).version}:{ip}" for ip in sending_ips] or [f"a:{mail_host}"]
    return " ".join(["v=spf1", *terms, "~all"])


def examine(wanted: Wanted, answer: Answer, ask_txt: AskTxt) -> Finding:
    """Compare. `ask_txt` is asked for the records that an SPF record includes."""
    if answer.state in ("timeout", "error"):
        return Finding(NO_ANSWER, answer.text[:500])
    absent = MISSING if wanted.required else NOT_SET
    if answer.state != "found":
        return Finding(absent, answer.state.upper())
    if wanted.purpose == "dkim":
        return _one_of(_dkim_texts(answer.values), wanted, absent, lambda text: dkim_matches(text, wanted.expected))
    if wanted.purpose in ("spf", "bounce_spf"):
        return _one_of(
            spf_texts(answer.values), wanted, absent, lambda text: spf_covers(text, wanted.expected, ask_txt)
        )
    if wanted.purpose == "dmarc":
        texts = [text for text in answer.values if re.match(r"v\s*=\s*DMARC1\s*(;|$)", text.strip())]
        return _one_of(texts, wanted, absent, dmarc_valid)
    current = "\n".join(sorted(answer.values))
    hosts = {value.split()[-1].lower().rstrip(".") for value in answer.values}
    fits = hosts == {wanted.expected.split()[-1].lower().rstrip(".")}
    return Finding(MATCHES if fits else DIFFERS, current)


def _one_of(texts: list[str], wanted: Wanted, absent: str, fits: Callable[[str], bool]) -> Finding:
    """Of these records exactly one may stand at a name."""
    # Servers turn the order at each answer; a page that is read again shall stay as it is.
    current = "\n".join(sorted(texts))
    if not texts:
        return Finding(absent, "")
    if len(texts) > 1:
        return Finding(SEVERAL, current)
    return Finding(MATCHES if fits(texts[0]) else DIFFERS, current)


# --- DKIM


def tags(text: str) -> dict[str, str]:
    """A tag list (RFC 6376 §3.2) without whitespace: order and blanks mean nothing."""
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): re.sub(r"\s+", "", value) for name, _equals, value in pairs}


def _dkim_texts(values: Sequence[str]) -> list[str]:
    return [value for value in values if "p" in tags(value)]


def dkim_matches(text: str, expected: str) -> bool:
    """RFC 6376 §3.6.1: v, k and h have defaults; an empty p is a revoked key."""
    found = tags(text)
    return (
        found.get("v", "DKIM1") == "DKIM1"
        and found.get("k", "rsa") == "rsa"
        and "sha256" in found.get("h", "sha256").split(":")
        and found.get("p", "") == tags(expected)["p"]
    )


def dmarc_valid(text: str) -> bool:
    return tags(text).get("p", "").lower() in ("none", "quarantine", "reject")


# --- SPF


def spf_texts(values: Sequence[str]) -> list[str]:
    """Those of a name's TXT records that are SPF (RFC 7208 §4.5)."""
    return [value for value in values if re.match(r"v=spf1( |$)", value.strip(), re.IGNORECASE)]


def _passing(text: str) -> Iterator[str]:
    """The mechanisms that let mail pass, and the modifiers, in lower case."""
    for term in text.lower().split()[1:]:
        if term[0] not in "-~?":
            yield term.removeprefix("+")


def spf_covers(text: str, expected: str, ask_txt: AskTxt) -> bool:
    """Whether the record lets everything pass that the expected one does: named, in a network, or by include."""
    needed = {term for term in _passing(expected) if not term.endswith("all")}
    todo, seen = [text], 0
    while todo and needed:
        terms = list(_passing(todo.pop()))
        needed = {need for need in needed if not any(_covers(term, need) for term in terms)}
        for term in terms:
            named = re.match(r"(?:include:|redirect=)(\S+)", term)
            if not named or not needed or "%" in named[1] or seen >= SPF_LOOKUPS:
                continue
            seen += 1
            answer = ask_txt(named[1])
            todo += spf_texts(answer.values)[:1]
    return not needed


def _covers(term: str, need: str) -> bool:
    if term == need:
        return True
    kind, _colon, value = need.partition(":")
    if kind in ("ip4", "ip6") and term.startswith(f"{kind}:"):
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(term.partition(":")[2], strict=False)
        except ValueError:
            return False
    return False


def merged_spf(texts: Sequence[str], expected: str) -> str:
    """One record that lets pass what all of these do, and what is expected: for a person to copy."""
    terms: dict[str, None] = {}
    for text in (expected, *texts):
        for term in text.split()[1:]:
            if term.lower().startswith("redirect="):
                terms["include:" + term.partition("=")[2]] = None
            elif not re.fullmatch(r"[-~?+]?all", term, re.IGNORECASE):
                terms[term] = None
    return " ".join(["v=spf1", *terms, "~all"])


# --- mail of others


def corporate_mail(mx: Answer, txt: Answer, *, ours: str, expected_spf: str, ask_txt: AskTxt) -> str | None:
    """What shows that other mail runs on the domain: its MX or SPF that isn't ours; "" = nothing, None = not known."""
    if mx.state in ("timeout", "error") or txt.state in ("timeout", "error"):
        return None
    found = []
    hosts = [value.split()[-1] for value in mx.values]
    foreign = [host for host in hosts if host not in (".", ours.lower().rstrip("."))]
    if foreign:
        found.append("MX " + ", ".join(foreign[:3]))
    foreign_spf = [text for text in spf_texts(txt.values) if not spf_covers(text, expected_spf, ask_txt)]
    # A record that lets nobody send ("v=spf1 -all") speaks of no other mail.
    foreign_spf = [text for text in foreign_spf if any(not term.endswith("all") for term in _passing(text))]
    if foreign_spf:
        found.append("SPF " + foreign_spf[0])
    return "; ".join(found)[:300]
