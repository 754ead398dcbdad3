"""Sender domains: added, checked against DNS, verified, demoted, deleted; and the rotation of their DKIM keys."""

from __future__ import annotations

import datetime as dt
import functools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import dns.exception
import dns.resolver
import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.tasks import async_task
from publicsuffixlist import PublicSuffixList

from delivery.dns import Answer, lookup, make_resolver
from delivery.engine.dkim import txt_record
from delivery.engine.retry import is_simulated
from delivery.models import Callback, DkimKey, DnsRecord, HeldBy, PauseCause, SenderDomain, Task, TaskStatus
from delivery.services import callbacks, dns_records, senders, tracking_hosts
from delivery.services.dkim_keys import make_key
from delivery.services.dns_records import Finding, Wanted
from delivery.simulator.zone import Record, ZoneFile
from suppression import address

log = structlog.get_logger()

SOON, LATER = dt.timedelta(minutes=10), dt.timedelta(hours=1)
# So long after adding a domain, and after each "Verify", DNS is asked every ten minutes.
WATCHED = dt.timedelta(hours=2)
GONE_AGAIN = dt.timedelta(hours=1)
# The longest names made of it are the DKIM record's and the bounce host's envelope senders.
MAX_NAME = 253 - len("ph9999._domainkey.")
BATCH = 100  # domains that one call of check_due looks at


class DomainRefused(ValueError):
    """The domain can't be added, changed or deleted; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check came to. `became` is "verified" or "pending" when the domain's status changed, else ""."""

    verified: bool
    became: str
    not_matching: list[DnsRecord]
    answered: bool


def canonical_name(text: str) -> str:
    """A domain name in lower-case A-labels. Raises DomainRefused for what is no name of a domain."""
    name = text.strip().lower().rstrip(".")
    if "//" in name or "/" in name or "@" in name:
        raise DomainRefused(_("Enter the domain alone, like mail.example.com: no address, no https://."))
    if name and "." not in name:
        raise DomainRefused(_(address.MalformedAddress("domain_dot").reason))
    try:
        name = address.parse(f"postmaster@{name}").domain
    except address.MalformedAddress:
        raise DomainRefused(_("This is not a domain name. Enter one like mail.example.com.")) from None
    if len(name) > MAX_NAME:
        raise DomainRefused(_("The name is too long: at most %(n)s characters.") % {"n": MAX_NAME})
    if _suffixes().privatesuffix(name) is None:
        raise DomainRefused(
            _("%(name)s belongs to everybody, like .com. Enter your own domain below it, like mail.example.%(name)s.")
            % {"name": name}
        )
    if is_simulated(name):
        raise DomainRefused(
            _("%(name)s is the simulator's, where mail is sent to. Enter another one.") % {"name": name}
        )
    return name


@functools.cache
def _suffixes() -> PublicSuffixList:
    """Names under which others register theirs (publicsuffix.org): the registries', not those of companies."""
    return PublicSuffixList(only_icann=True)


def add_domain(name: str, by: str = "") -> SenderDomain:
    """Make a sender domain with its DKIM key and the records to publish. Raises DomainRefused."""
    name = canonical_name(name)
    now = timezone.now()
    try:
        with transaction.atomic():
            domain = SenderDomain.objects.create(name=name, next_check_at=now + SOON, watch_until=now + WATCHED)
            key = make_key(domain, active=True)
            for each in _wanted(domain, key):
                _keep(domain, each)
    except IntegrityError:
        raise DomainRefused(_("%(domain)s is a sender domain already.") % {"domain": name}) from None
    log.info("domain_added", domain=name, by=by)
    return domain


def _wanted(domain: SenderDomain, key: DkimKey) -> list[Wanted]:
    """What is to be published by the settings of this installation as they are now."""
    return dns_records.wanted_records(
        domain.name,
        key.selector,
        key.public_key,
        sending_ips=settings.SENDING_IPS,
        mail_host=settings.MAIL_HOST,
        tracking_host=tracking_hosts.expected(),
    )


def _keep(domain: SenderDomain, wanted: Wanted) -> DnsRecord:
    return DnsRecord.objects.create(
        domain=domain,
        purpose=wanted.purpose,
        type=wanted.type,
        host=wanted.host,
        expected=wanted.expected,
        required=wanted.required,
    )


# --- checking


class _Asker:
    """Asks DNS, each question once, from several threads. Never within a transaction: answers may take seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Answer] = {}
        try:
            self._resolver: dns.resolver.Resolver | None = make_resolver(settings.DNS_SERVERS, settings.DNS_TIMEOUT)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            self._resolver, self._why = None, str(error) or type(error).__name__

    def __call__(self, name: str, kind: str) -> Answer:
        with self._lock:
            known = self._known.get((name, kind))
        if known is not None:
            return known
        if self._resolver is None:
            return Answer("error", [], self._why)
        answer = lookup(name, kind, resolver=self._resolver)
        with self._lock:
            self._known[name, kind] = answer
        return answer

    def txt(self, name: str) -> Answer:
        return self(name, "TXT")


def verify(domain: SenderDomain, now: dt.datetime, *, asked: bool = True) -> Checked:
    """Ask DNS for every record, keep the answers, and set the domain's status by them.

    `asked`: a person pressed Verify, so DNS is watched closely for two hours. Raises SenderDomain.DoesNotExist when
    the domain was deleted meanwhile.
    """
    records = _up_to_date(domain)
    ask = _Asker()
    with ThreadPoolExecutor(max_workers=len(records) + 1) as pool:
        corporate = pool.submit(_corporate_mail, domain.name, ask)
        found = list(pool.map(lambda record: _examine(record, ask), records))
    tracking_host = _tracking_host(domain, records, found, ask)
    with transaction.atomic():
        locked = SenderDomain.objects.select_for_update().get(pk=domain.pk)
        for record, finding in zip(records, found, strict=True):
            record.state, record.current, record.checked_at = finding.state, finding.current, now
            DnsRecord.objects.filter(pk=record.pk).update(state=finding.state, current=finding.current, checked_at=now)
        if (seen := corporate.result()) is not None:
            locked.corporate_mail = seen
        locked.tracking_host = tracking_host
        if asked:
            locked.watch_until = now + WATCHED
        became = _judge(locked, list(locked.records.all()), now)
        locked.checked_at = now
        watched = locked.watch_until is not None and now < locked.watch_until
        locked.next_check_at = now + (SOON if watched else LATER)
        locked.save()
        if became == "verified":
            transaction.on_commit(lambda: _take_up(locked))
    domain.refresh_from_db()
    if became:
        tell = log.warning if became == "pending" else log.info
        tell("domain_status", domain=domain.name, became=became, problem=domain.problem)
    wrong = [record for record in records if record.required and record.state != DnsRecord.State.MATCHES]
    answered = any(record.state != DnsRecord.State.NO_ANSWER for record in records)
    return Checked(domain.verified, became, wrong, answered)


def _up_to_date(domain: SenderDomain) -> list[DnsRecord]:
    """The domain's records, their expected values by the settings of today: a sending IP may have been added, or the
    name that tracking hosts lead to."""
    records = list(domain.records.all())
    key = domain.dkim_keys.filter(active=True).first()
    wanted = {each.purpose: each for each in _wanted(domain, key)} if key else {}
    tracking = wanted.get(DnsRecord.Purpose.TRACKING)
    if tracking is not None and all(record.purpose != tracking.purpose for record in records):
        records.append(_keep(domain, tracking))
    for record in records:
        expected = wanted[record.purpose].expected if record.purpose in wanted else record.expected
        if record.purpose != DnsRecord.Purpose.DKIM and record.expected != expected:
            record.expected = expected
            record.save(update_fields=["expected"])
    return records


def _tracking_host(domain: SenderDomain, records: list[DnsRecord], found: list[Finding], ask: _Asker) -> str:
    for record, finding in zip(records, found, strict=True):
        if record.purpose == DnsRecord.Purpose.TRACKING:
            return tracking_hosts.found(domain.tracking_host, record.host, finding.state, ask)
    return ""


def _examine(record: DnsRecord, ask: _Asker) -> Finding:
    wanted = Wanted(record.purpose, record.type, record.host, record.expected, record.required)
    return dns_records.examine(wanted, ask(record.host, record.type), ask.txt)


def _corporate_mail(name: str, ask: _Asker) -> str | None:
    return dns_records.corporate_mail(
        ask(name, "MX"),
        ask(name, "TXT"),
        ours=settings.MAIL_HOST,
        expected_spf=dns_records.spf_record(settings.SENDING_IPS, settings.MAIL_HOST),
        ask_txt=ask.txt,
    )


def _judge(domain: SenderDomain, records: list[DnsRecord], now: dt.datetime) -> str:
    """Set the status of a domain by the states of its records; "verified" or "pending" when it changed."""
    state = DnsRecord.State
    if not domain.verified:
        needed = [record for record in records if record.required]
        if needed and all(record.state == state.MATCHES for record in needed):
            domain.verified_at, domain.problem, domain.missing_since = now, "", None
            return "verified"
        return ""
    vital = [
        record
        for record in records
        if record.required and record.purpose in (DnsRecord.Purpose.DKIM, DnsRecord.Purpose.BOUNCE_MX)
    ]
    gone = [record for record in vital if record.state == state.MISSING]
    if not gone:
        # No answer says nothing: what was seen before still stands.
        if all(record.state != state.NO_ANSWER for record in vital):
            domain.missing_since = None
        return ""
    if domain.missing_since is None:
        domain.missing_since = now
        return ""
    if now - domain.missing_since < GONE_AGAIN:
        return ""
    domain.verified_at = domain.missing_since = None
    domain.watch_until = now + WATCHED
    domain.problem = (
        _("The DKIM record is gone.")
        if gone[0].purpose == DnsRecord.Purpose.DKIM
        else _("The MX record of the bounce host is gone.")
    )
    return "pending"


def _take_up(domain: SenderDomain) -> None:
    """What was held because the domain was not verified goes on, and so do the tasks paused by it."""
    from delivery.services import tasks

    for task in Task.objects.filter(
        sender_address__domain=domain, status=TaskStatus.PAUSED, pause_cause=PauseCause.DOMAIN
    ):
        try:
            tasks.resume(task, cause=PauseCause.DOMAIN)
        except tasks.TaskRefused:  # an operator was quicker
            continue
    async_task("delivery.jobs.release", HeldBy.DOMAIN_UNVERIFIED.value, cluster="jobs")


def check_due(now: dt.datetime, *, done: Callable[[SenderDomain, Checked], None] | None = None) -> int:
    """Check the domains whose time has come, at most a hundred; give their number. Two at once share the work."""
    count = 0
    while count < BATCH and (domain := _take_due(now)) is not None:
        try:
            checked = verify(domain, now, asked=False)
        except SenderDomain.DoesNotExist:
            continue
        if done is not None:
            done(domain, checked)
        count += 1
    return count


def _take_due(now: dt.datetime) -> SenderDomain | None:
    with transaction.atomic():
        domain = (
            SenderDomain.objects.select_for_update(skip_locked=True)
            .filter(next_check_at__lte=now)
            .order_by("next_check_at")
            .first()
        )
        if domain is not None:
            # Whoever dies while asking leaves it to the next round.
            domain.next_check_at = now + SOON
            domain.save(update_fields=["next_check_at"])
    return domain


# --- DKIM rotation


def rotate_key(domain: SenderDomain) -> DkimKey:
    """Make the next key. It signs only when it is activated, once its record is in DNS. Raises DomainRefused."""
    with transaction.atomic():
        # A second press waits here for the first, and finds its key.
        SenderDomain.objects.select_for_update(no_key=True).get(pk=domain.pk)
        if domain.dkim_keys.filter(active=False, created_at__gt=_active_since(domain)).exists():
            raise DomainRefused(_("A new key waits for its record already. Publish that, then let it sign."))
        key = make_key(domain, active=False)
        host, record = dns_records.dkim_host(key.selector, domain.name), txt_record(key.public_key)
        _keep(domain, Wanted("dkim", "TXT", host, record, False))
    return key


def _active_since(domain: SenderDomain) -> dt.datetime:
    return domain.dkim_keys.get(active=True).created_at


def record_of(key: DkimKey) -> DnsRecord:
    return DnsRecord.objects.get(domain_id=key.domain_id, host=dns_records.dkim_host(key.selector, key.domain.name))


def activate_key(key: DkimKey) -> None:
    """Let this key sign from now on. Raises DomainRefused unless its record was seen in DNS."""
    with transaction.atomic():
        domain = SenderDomain.objects.select_for_update().get(pk=key.domain_id)
        record = record_of(key)
        if record.state != DnsRecord.State.MATCHES:
            raise DomainRefused(_("DNS does not answer the new key's record yet. Publish it and check again."))
        domain.dkim_keys.filter(active=True).update(active=False)
        domain.dkim_keys.filter(pk=key.pk).update(active=True)
        domain.records.filter(purpose=DnsRecord.Purpose.DKIM).update(required=False)
        domain.records.filter(pk=record.pk).update(required=True)


def remove_key(key: DkimKey) -> None:
    """Forget a key that does not sign, with its record. Raises DomainRefused for the one that signs."""
    with transaction.atomic():
        SenderDomain.objects.select_for_update().get(pk=key.domain_id)
        key.refresh_from_db()
        if key.active:
            raise DomainRefused(_("This key signs. Let another one sign first."))
        record_of(key).delete()
        key.delete()


# --- deleting, and the simulator


def in_use(domain: SenderDomain) -> str:
    """Why the domain can't be deleted now, "" when it can: what is under way needs its key."""
    if why := senders.busy(sender_address__domain=domain):
        return why
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM delivery_waiting w JOIN delivery_message m ON m.id = w.message_id"
            " WHERE w.task_id IS NULL AND m.sender_domain_id = %s)",
            [domain.pk],
        )
        if cursor.fetchone()[0]:
            return _("Mail from it still waits. It can be deleted when that mail has come to its end.")
    return ""


def delete_domain(domain: SenderDomain) -> None:
    """Delete a domain with its addresses, records and keys. Raises DomainRefused while something uses it."""
    with transaction.atomic():
        SenderDomain.objects.select_for_update().filter(pk=domain.pk).first()
        if why := in_use(domain):
            raise DomainRefused(why)
        callbacks.hold(Callback.objects.filter(address__domain=domain))
        domain.delete()


def publish_in_simulator(domain: SenderDomain) -> None:
    """Put the domain's records into the simulator's DNS zone, as its owner would at a DNS host."""
    if not settings.SIMULATOR:
        raise DomainRefused(_("The simulator is switched off."))
    records: Iterable[DnsRecord] = domain.records.all()
    ZoneFile(settings.SIMULATOR_DIR).publish(Record(each.host, each.type, each.expected) for each in records)
