"""Which of several texts tells why: each is read by the rules that read replies in the session."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from delivery.engine.classify import classify, classify_text, parse
from delivery.engine.types import Phase, Verdict
from tracking.feedback.reading.words import words
from tracking.feedback.types import Kind

CANDIDATES_MAX: Final = 16
CODES_ALONE: Final = 2
UNKNOWN: Final = Verdict("deferred", "other", "message", "unknown")
DIAGNOSTIC_MAX: Final = 2000
_FRAME = words("frame")
_REPLY = re.compile(r"(?<![\w.=/-])[45]\d\d(?:[ ,:] ?|-(?=[^\d\s]|[45]\.\d))(?=\S)")
_WEAK = re.compile(r"(?:code|plain)_|unknown$|policy|no_answer")
_NO_REASON = re.compile(r"\W*(?:smtp; ?)?\W*(?:[245]\d\d)?[ -]?(?:[245]\.\d+\.\d+)?[\W\d]*$")
_PHASE: Final = (
    (re.compile(r"refused to talk to me|initial greeting", re.IGNORECASE), Phase.GREETING),
    (re.compile(r"(?:end of data|final dot|\bbody\b|data command)", re.IGNORECASE), Phase.DOT),
    (re.compile(r"(?:reply to|after|in response to|for) (?:the )?mail from", re.IGNORECASE), Phase.MAIL),
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why mail came back, in which words, and by which rule that is known."""

    kind: Kind
    reason: str
    rule: str
    status: str
    diagnostic: str


def reason(close: Iterable[str], far: Iterable[str], status: str) -> Reason:
    """The first text that says something of its own; codes alone only where none does.

    `close`: texts about this recipient, the likeliest first; `far`: further words of the mail, asked where those tell
    nothing but a code; `status`: the enhanced code of the report, "" without.
    """
    best: tuple[int, Verdict, str] | None = None
    for texts in (close, far):
        for text in dict.fromkeys(islice(texts, CANDIDATES_MAX)):
            if (found := _heard(text, status)) and (best is None or found[0] < best[0]):
                best = found
            if best and best[0] == 0:
                break
        if best and best[0] < CODES_ALONE:
            break
    if best is None:
        verdict = classify(int(status[0]) * 100 + 50, status, "", Phase.RCPT) if status else UNKNOWN
        return Reason(_kind(verdict, status), verdict.reason, verdict.rule, status, "")
    _, verdict, text = best
    return Reason(
        kind=_kind(verdict, status),
        reason=verdict.reason,
        rule=verdict.rule,
        status=status if status and not status.endswith(".0.0") else parse(text)[1] or status,
        diagnostic=" ".join(text.split())[:DIAGNOSTIC_MAX],
    )


def _heard(text: str, status: str) -> tuple[int, Verdict, str] | None:
    """How little the text says, and what. The server's reply in it comes before the words around it."""
    text = text[: 2 * DIAGNOSTIC_MAX]
    words = _FRAME.sub(" ", text).strip()
    if _NO_REASON.fullmatch(words) and not parse(words)[0]:
        return None
    best: tuple[int, Verdict, str] | None = None
    reply = _REPLY.search(words)
    for part in [words[reply.start() :], words] if reply and reply.start() else [words]:
        verdict, weakness = _classified(part, words, status)
        if best is None or weakness < best[0]:
            best = weakness, verdict, text
    return best


def _classified(words: str, whole: str, status: str) -> tuple[Verdict, int]:
    """The verdict and how little it says: 0 the words decided, 1 half a word, 2 only codes."""
    phase = next((phase for pattern, phase in _PHASE if pattern.search(whole)), Phase.RCPT)
    found = _with_code(words, status, phase)
    if not _WEAK.match(found.rule):
        return found, 0
    if status and not status.endswith(".0.0"):
        code = parse(words)[0] or int(status[0]) * 100 + 50
        closer = classify(code, status, words, phase)
        if not _WEAK.match(closer.rule) or closer.rule.startswith("code_"):
            return closer, 1
    return found, 1 if found.rule.startswith("policy") and parse(words)[0] else CODES_ALONE


def _with_code(words: str, status: str, phase: Phase) -> Verdict:
    if parse(words)[0] or not status:
        return classify_text(words, phase)
    return classify(int(status[0]) * 100 + 50, "", words, phase)


def _kind(found: Verdict, status: str) -> Kind:
    """As in the session; a report's 4.x.x stands above a reply's 5xx: the server that gave up knows what it tried."""
    return "permanent" if found.outcome == "refused" and not status.startswith("4") else "temporary"
