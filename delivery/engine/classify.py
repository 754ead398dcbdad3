"""Reply → verdict. Pure: what is known of servers' language stands in `delivery/rules/replies.toml`.

The code decides whether it is for good (5xx) or for now (4xx, no answer), unless a rule knows better: some providers
say 550 to "too fast". The words decide the reason; enhanced codes (RFC 3463) only where words say nothing, as many
servers send 5.7.1 for everything.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from html import unescape
from pathlib import Path
from typing import Any, Final, get_args

from delivery.engine.types import Phase, Scope, Verdict

RULES: Final = Path(__file__).parent.parent / "rules" / "replies.toml"
REASONS: Final = frozenset({"server_error", "format_error", "not_exist", "ip_or_domain", "spam", "rejected", "other"})
TEXT_MAX: Final = 700  # characters looked at: who needs more to say it says other things by then

_DELIVERED = Verdict("delivered", "", "recipient", "delivered")
_OWN_PHASES = frozenset({Phase.DNS, Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.TLS})

_CODES = re.compile(r"(?<=\s)[245]\d\d[- ](?:[245]\.\d{1,3}\.\d{1,3}(?=\D|$))?[ :-]*")
_ADDRESS = re.compile(r"<?[^\s<>()\[\]:;,=/?]+@[a-z0-9.-]+>?|<>")
_IP = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b\d{1,3}(?:-\d{1,3}){3}\b")
_AT_WORD = re.compile(r"(?:\\b)?(?:\(\?:)*(?:[a-z]|\\d)[\x00-\x7f]*\Z")
_NOT = re.compile(r"\b(is|are|was|were|do|does|did|has|have|had|could|would|should|must|wo|ca)n['’´`]?t\b")
_WHEN = re.compile(r"\(in reply to [a-z ]{1,40}\)")  # what a relay adds
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ufffd\"`´“”]+")
_CODE = re.compile(r"(?:^|[\s:;<(\"'])([245]\d\d)(?=[\s\-,;:)]|$)(?:[\s-]'?\(?#?([245]\.\d{1,3}\.\d{1,3})(?!\.?\d))?")
_HOST_SAID = re.compile(r"\A.{0,200}?\bhost \S{1,160}(?: ?[\[(][^\s\])]+[\])])? said: (?=[245]\d\d)", re.DOTALL)
_ENTITY = re.compile(r"&(?:#?\w{1,8});")
_DURING = re.compile(
    r"in reply to (?:the )?([a-z]+)|after (mail from|rcpt to|end of data|initial connection)", re.IGNORECASE
)
_PHASE_SAID: Final = {"mail": Phase.MAIL, "end": Phase.DOT, "data": Phase.DATA, "initial": Phase.GREETING}
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the file; see its head for what the fields mean."""

    name: str
    provider: str
    pattern: re.Pattern[str] | None
    enhanced: frozenset[str]
    codes: frozenset[int]
    phases: frozenset[str]
    reason: str
    permanent: bool | None
    scope: Scope
    sample: str
    ip: bool = False
    patterns: tuple[str, ...] = ()
    usually_permanent: bool = False  # what the code of its sample says, for texts that have lost their code

    def fits(self, code: int, subject: str, text: str, phase: str) -> bool:
        """`subject`: the enhanced code without its first digit."""
        if self.codes and code not in self.codes and code // 100 not in self.codes:
            return False
        if self.phases and phase not in self.phases:
            return False
        if self.enhanced and subject not in self.enhanced and subject.partition(".")[0] + ".*" not in self.enhanced:
            return False
        return self.pattern is None or self.pattern.search(text) is not None

    def covers(self, later: Rule) -> bool:
        """Whatever the conditions beside the patterns let through to `later`, they let through to this one too."""
        codes = not self.codes or (later.codes and all(self.codes & {code, code // 100} for code in later.codes))
        enhanced = not self.enhanced or (later.enhanced and later.enhanced <= self.enhanced)
        return bool(codes and enhanced and (not self.phases or (later.phases and later.phases <= self.phases)))

    def says(self, other: Rule) -> bool:
        """Both mean the same."""
        return (self.reason, self.permanent, self.scope) == (other.reason, other.permanent, other.scope)


def _joined(patterns: list[str]) -> str:
    """One expression for all. What begins with a letter is looked for at the starts of words, which costs a fifth.

    Not `\\b`: only what begins with a set of characters is searched for fast, so texts begin with a blank.
    """
    at_words = [pattern for pattern in patterns if _AT_WORD.match(pattern)]
    anywhere = [pattern for pattern in patterns if not _AT_WORD.match(pattern)]
    return "|".join([*([rf"[^a-z0-9_](?:{'|'.join(at_words)})"] if at_words else []), *anywhere])


def _make(entry: dict[str, Any]) -> Rule:
    patterns = entry.get("pattern", [])
    return Rule(
        name=entry["name"],
        provider=entry.get("provider", ""),
        pattern=re.compile(_joined(patterns)) if patterns else None,
        enhanced=frozenset(entry.get("enhanced", ())),
        codes=frozenset(entry.get("code", ())),
        phases=frozenset(entry.get("phase", ())),
        reason=entry["reason"],
        permanent=entry.get("permanent"),
        scope=entry["scope"],
        sample=entry["sample"],
        ip=entry.get("ip", False),
        patterns=tuple(patterns),
        usually_permanent=entry.get("permanent", parse(entry["sample"])[0] >= 500),
    )


def read_rules(text: str) -> tuple[Rule, ...]:
    """Rules in their order. Raises KeyError, re.error or tomllib.TOMLDecodeError."""
    return tuple(_make(entry) for entry in tomllib.loads(text)["rule"])


@cache
def rules() -> tuple[Rule, ...]:
    """The rules of the file, read once."""
    return read_rules(RULES.read_text(encoding="utf-8"))


@cache
def ip_rules() -> frozenset[str]:
    """Names of the rules for what is said of our IP address alone, so that another address may fare better."""
    return frozenset(rule.name for rule in rules() if rule.ip)


def about_us(verdict: Verdict) -> bool:
    """The answer is about how much we send or from which address, not about the message: that may be tried again."""
    return verdict.scope == "site" or verdict.rule in ip_rules()


def _spelt_out(match: re.Match[str]) -> str:
    """`isn't` → `is not`: one way to say it is enough for the patterns."""
    return {"wo": "will", "ca": "can"}.get(match[1], match[1]) + (" not" if match[1] != "ca" else "not")


def normalised(text: str) -> str:
    """What the patterns look at: a blank, then lower case, one line, "not" spelt out, no codes, addresses, quotes."""
    text = " " + text[: 2 * TEXT_MAX].lower()
    text = _NOT.sub(_spelt_out, text)
    text = text.replace("'", "").replace("’", "").replace("mail-box", "mailbox")
    text = _CODES.sub(" ", text)
    if "@" in text:
        text = _ADDRESS.sub("<>", text)
    if "(in reply to" in text:
        text = _WHEN.sub(" ", text)
    text = _IP.sub("<ip>", text)
    return _BLANKS.sub(" ", text)[:TEXT_MAX].rstrip()


def parse(text: str) -> tuple[int, str]:
    """Code and enhanced code of a reply as it stands in a bounce mail or a log line; (0, "") where there is none."""
    match = _CODE.search(text)
    code = int(match[1]) if match else 0
    if match and match[2]:
        return code, match[2]
    enhanced = _ENHANCED.search(text)
    if enhanced and not code:
        code = int(enhanced[1][0]) * 100 + 50
    return code, enhanced[1] if enhanced else ""


def classify(code: int, enhanced: str, text: str, phase: Phase | str) -> Verdict:
    """What the reply means. Delivered only by a 2xx to the final dot; code 0 = there was no answer."""
    if 200 <= code < 300 and phase == Phase.DOT:
        return _DELIVERED
    if code < 400:
        scope: Scope = "site" if phase in _OWN_PHASES else "message"
        return Verdict("deferred", "server_error", scope, "no_answer")
    return _decide(code, enhanced, normalised(text), str(phase))


def classify_text(text: str, phase: Phase | str | None = None) -> Verdict:
    """`classify` for a reply as a log, a relay or a bounce mail quotes it. Without a code, the words decide alone.

    `phase`: None where only the text can tell; RCPT where it does not.
    """
    text = _unquoted(text[: 4 * TEXT_MAX])
    if "refused to talk to me:" in text:  # Postfix quotes a greeting so
        phase, text = Phase.GREETING, text.partition("refused to talk to me:")[2]
    if phase is None:
        said = _DURING.search(text)
        phase = _PHASE_SAID.get((said[1] or said[2]).lower().split()[0], Phase.RCPT) if said else Phase.RCPT
    if (relayed := _HOST_SAID.match(text)) and not _CODE.search(relayed[0]):
        text = text[relayed.end() :]
    code, enhanced = parse(text)
    if code or not text.strip():
        return classify(code, enhanced, text, phase)
    words = normalised(text)
    rule = next((rule for rule in rules() if rule.fits(0, "", words, str(phase))), None)
    if rule is None:
        return Verdict("deferred", "other", "message", "unknown")
    return Verdict("refused" if rule.usually_permanent else "deferred", rule.reason, rule.scope, rule.name)


def _unquoted(text: str) -> str:
    """Without the line ends and entities that programs and web pages write instead of characters."""
    if "\\" in text:
        text = text.replace("\\r", "").replace("\\n", "\n")
    return _ENTITY.sub(lambda found: unescape(found[0]), text) if "&" in text else text


@lru_cache(maxsize=4096)
def _decide(code: int, enhanced: str, text: str, phase: str) -> Verdict:
    subject = enhanced[2:]
    # RFC 3463 lets them differ; to try again what was refused harms less than to give up what was put off
    permanent = code >= 500 and not enhanced.startswith("4")
    for rule in rules():
        if rule.fits(code, subject, text, phase):
            if rule.permanent is not None:
                permanent = rule.permanent
            scope = rule.scope
            if permanent and scope == "site":
                scope = "message"  # to wait would not help
            elif code == 421 and scope == "message" and rule.reason in ("server_error", "ip_or_domain"):
                scope = "site"  # RFC 5321 §3.8: the server gives up the connection, not the message
            return Verdict("refused" if permanent else "deferred", rule.reason, scope, rule.name)
    return Verdict("refused" if permanent else "deferred", "other", "message", "unknown")


_NEVER_SEEN = re.compile(r"(?<!\\)[A-Z\"`´“”'’]")  # what normalised() leaves nothing of


def _before(rule: Rule, candidates: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return candidates[: next(at for at, other in enumerate(candidates) if other is rule)]


def problems(candidates: Iterable[Rule]) -> list[str]:
    """What is wrong with rules, in words: a sample that ends elsewhere, a rule that can't be reached, a wrong name."""
    candidates = tuple(candidates)
    found: list[str] = []
    seen: set[str] = set()
    for rule in candidates:
        if rule.name in seen:
            found.append(f"{rule.name}: there are two rules of this name")
        seen.add(rule.name)
        if rule.reason not in REASONS:
            found.append(f"{rule.name}: no such reason: {rule.reason}")
        if rule.scope not in get_args(Scope):
            found.append(f"{rule.name}: no such scope: {rule.scope}")
        if rule.phases - set(Phase):
            found.append(f"{rule.name}: no such phase: {', '.join(sorted(rule.phases - set(Phase)))}")
        if not (rule.pattern or rule.enhanced or rule.codes):
            found.append(f"{rule.name}: fits everything")
        if rule.ip and rule.scope != "sender":
            found.append(f"{rule.name}: speaks of our IP address, but its scope is {rule.scope}")
        for pattern in rule.patterns:
            if _NEVER_SEEN.search(pattern):
                found.append(f"{rule.name}: capitals and quotes never reach the patterns: {pattern}")
            for other in _before(rule, candidates):
                if pattern in other.patterns and other.covers(rule):
                    how = "says the same" if other.says(rule) else "contradicts it"
                    found.append(f"{rule.name}: never reached by {pattern}, which {other.name} has, and {how}")
        code, enhanced = parse(rule.sample)
        phase = min(rule.phases, default=Phase.RCPT.value)
        text = normalised(rule.sample)
        first = next((other for other in candidates if other.fits(code, enhanced[2:], text, phase)), None)
        if first is not rule:
            found.append(f"{rule.name}: its sample ends at {first.name if first else 'no rule'}")
    return found
