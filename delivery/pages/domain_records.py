"""A DNS record of a sender domain as its page shows it: beside what DNS answers, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.badges import Badge
from delivery.models import DkimKey, DnsRecord
from delivery.services import dns_records

State = DnsRecord.State
RECORDS: dict[str, Badge] = {
    State.UNCHECKED: Badge("calm", "clock", State.UNCHECKED.label),
    State.MATCHES: Badge("ok", "check", State.MATCHES.label),
    State.MISSING: Badge("bad", "x", State.MISSING.label),
    State.DIFFERS: Badge("bad", "x", State.DIFFERS.label),
    State.SEVERAL: Badge("bad", "x", State.SEVERAL.label),
    State.NOT_SET: Badge("calm", "minus", gettext_lazy("Not set (optional)")),
    State.NO_ANSWER: Badge("warn", "alert-triangle", State.NO_ANSWER.label),
}
# A key that does not sign yet: its record is asked for, but mail does not depend on it.
AWAITED = Badge("warn", "clock", gettext_lazy("Not published yet"))


@dataclass(frozen=True, slots=True)
class Shown:
    """A record as the page shows it."""

    record: DnsRecord
    title: str
    badge: Badge
    lines: list[tuple[str, bool]]  # what DNS answers, line by line; True marks what is wrong
    answer: str  # said instead of lines
    hint: str
    key: DkimKey | None = None


def shown(record: DnsRecord, keys: dict[str, DkimKey]) -> Shown:
    """`keys`: the domain's keys by the host of their record."""
    key = keys.get(record.host) if record.purpose == DnsRecord.Purpose.DKIM else None
    title = str(record.get_purpose_display())
    badge = RECORDS[record.state]
    if record.state == State.MISSING and key is not None and not key.active:
        badge = AWAITED
    return Shown(record, title, badge, _lines(record), _answer(record), _hint(record, key), key)


def _lines(record: DnsRecord) -> list[tuple[str, bool]]:
    if record.state not in (State.MATCHES, State.DIFFERS, State.SEVERAL):
        return []
    wrong = record.state != State.MATCHES
    return [(line, wrong and line != record.expected) for line in record.current.splitlines()]


def _answer(record: DnsRecord) -> str:
    if record.state == State.UNCHECKED:
        return _("Not asked yet")
    if record.state == State.NO_ANSWER:
        return _("No answer: %s") % record.current if record.current else _("No answer")
    if record.current == "NXDOMAIN":
        return _("There is no such name (NXDOMAIN)")
    return _("There is no such record at this name")


def _hint(record: DnsRecord, key: DkimKey | None) -> str:
    """What to do, or what to know: one sentence under the record."""
    purpose = DnsRecord.Purpose(record.purpose)
    if record.state == State.NO_ANSWER:
        return _("The DNS server did not answer. Nothing is concluded from that; it is asked again by itself.")
    if record.state == State.SEVERAL:
        if purpose in (purpose.SPF, purpose.BOUNCE_SPF):
            merged = dns_records.merged_spf(record.current.splitlines(), record.expected)
            return _("Only one SPF record may exist, else receivers ignore all. Merge them: %s") % merged
        return _("Only one record may stand here. Keep the one on the left and remove the others.")
    if record.state == State.DIFFERS:
        return _differs(record, purpose)
    if purpose == purpose.DKIM and record.state != State.MATCHES:
        text = _("One line of %(n)s characters. Most DNS forms take it whole and split it themselves.")
        return text % {"n": len(record.expected)}
    if purpose == purpose.DMARC and record.state == State.MATCHES and "p=none" not in record.current.replace(" ", ""):
        return _("Stricter than asked for: fine.")
    if purpose == purpose.SPF and record.state == State.NOT_SET:
        return _("Optional: some receivers look here as well.")
    if purpose == purpose.TRACKING and record.state != State.MATCHES:
        return _("Optional: links in mails then carry your own name.")
    if purpose == purpose.TRACKING:
        if record.domain.tracking_host:
            return _("Links in mails carry this name.")
        return _(
            "DNS leads to us. Links take this name as soon as our web server answers under it with a good certificate; "
            "that is tried with each check."
        )
    if key is not None and not key.active and record.state == State.MATCHES:
        return _("Published. It can sign now.") if not record.required else ""
    return ""


def _differs(record: DnsRecord, purpose: DnsRecord.Purpose) -> str:
    if purpose == purpose.DKIM:
        return _("Another key stands here. Replace it by the value on the left.")
    if purpose in (purpose.SPF, purpose.BOUNCE_SPF):
        merged = dns_records.merged_spf(record.current.splitlines(), record.expected)
        return _("It does not let our servers send. Change it to: %s") % merged
    if purpose == purpose.DMARC:
        return _("It has no policy. At least p=none is needed.")
    if purpose == purpose.BOUNCE_MX:
        return _("Bounce mails would go elsewhere. Only our host may stand here.")
    return _("It leads elsewhere. Replace it by the value on the left.")
