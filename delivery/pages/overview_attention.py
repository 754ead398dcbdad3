"""The overview's first question: is everything all right? What is not, the worst first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.context import ALIVE_SECONDS
from console.models import Account, Heartbeat
from console.templatetags.posthorn import clock, percent, span
from console.views import count_text
from delivery import attention
from delivery.attention import Attention, Look
from delivery.models import HeldBy, QueuePause, SenderDomain, Status
from delivery.pages.domain_warmup import WHY
from delivery.pages.email_status import status_url
from delivery.pages.tasks import task_url
from delivery.services import overview as service
from delivery.services import standing
from delivery.services.statistics import COMPLAINTS_END, COMPLAINTS_MARK, Freshness

DAYS = 7
PAUSED_SHOWN = 5
PENDING_SHOWN = 3


def found(
    look: Look,
    account: Account,
    waits: service.Line,
    fresh: Freshness,
    domains: list[service.DomainWeek],
    next_domain: int | None = None,
) -> list[Attention]:
    """Everything that a person should look at, the worst first. `next_domain`: to verify it is the first step that the
    page leads to."""
    pending = service.pending_domains()
    all_of_it = [
        *_workers(look, fresh),
        *_stopped(look, account, waits),
        *_domains(look, pending),
        *_complaints(look, domains),
        *_held(look, waits),
        *_paused_queues(look),
        *_callbacks(look),
        *_failed_tasks(look),
        *_pending(look, pending, next_domain),
        *(one for source in attention.sources for one in source(look)),
    ]
    return sorted(all_of_it, key=lambda one: one.tone != "bad")


def _workers(look: Look, fresh: Freshness) -> Iterator[Attention]:
    since = look.now - dt.timedelta(seconds=ALIVE_SECONDS)
    alive = set(Heartbeat.objects.filter(beat_at__gte=since).values_list("part", flat=True))
    if "deliver" not in alive:
        yield Attention(
            "bad",
            _("No delivery worker runs"),
            _("Nothing is sent until one does. Start it with “manage.py serve”, or look into its log."),
        )
    elif "jobs" not in alive:
        yield Attention(
            "bad",
            _("No worker of the part “jobs” runs"),
            _("Tasks do not begin, returned mail is not read and figures stand still until one does."),
        )
    elif fresh.late and fresh.at is not None:
        yield Attention(
            "warn",
            _("The statistics are %s behind") % span(fresh.behind),
            _("They catch up by themselves. If they do not, look into the log of the part “jobs”."),
        )


def _stopped(look: Look, account: Account, waits: service.Line) -> Iterator[Attention]:
    if account.sending_stopped_at is not None:
        held = _mails_held(waits.held.get(HeldBy.ACCOUNT, 0))
        since = _("Since %s.") % clock(account.sending_stopped_at)
        yield Attention("bad", _("All sending is stopped"), f"{since} {held}.", look.link("account"), _("Account"))


def _domains(look: Look, pending: list[SenderDomain]) -> Iterator[Attention]:
    """Those that nothing can be sent from any more, and those whose level went down."""
    for domain in pending:
        if domain.problem:
            title = _("%s lost its records") % domain
            yield Attention("bad", title, domain.problem, look.link("domain", domain.pk), _("DNS records"))
    for day in service.fallen_days(look.now):
        here = look.link("domain", day.domain_id)
        why = str(WHY.get(day.why, ""))
        if day.blocked_at is not None and day.moved is None:
            title = _("%s is blocked for today") % day.domain
            text = _("Too much of its mail was refused. It goes on tomorrow, at a lower level.")
            yield Attention("bad", title, text, here, _("Warm-up"))
        elif day.moved is not None and day.moved < 0:
            title = _("%(domain)s fell to level %(level)s") % {"domain": day.domain, "level": day.level + day.moved}
            yield Attention("warn", title, f"{capfirst(why)}.", here, _("Warm-up"))


def _pending(look: Look, pending: list[SenderDomain], next_domain: int | None) -> Iterator[Attention]:
    """Those that nothing can be sent from yet: none of their mail waits, so they come last; many are one line."""
    new = [domain for domain in pending if not domain.problem and domain.pk != next_domain]
    text = _("Publish its DNS records, then verify it. Nothing can be sent from it before.")
    if len(new) <= PENDING_SHOWN:
        for domain in new:
            title = _("%s is pending verification") % domain
            yield Attention("warn", title, text, look.link("domain", domain.pk), _("DNS records"))
        return
    title = _("%s sender domains are pending verification") % len(new)
    names = ", ".join(domain.name for domain in new[:PENDING_SHOWN])
    text = _("%(names)s and %(n)s more. Nothing can be sent from them before their DNS records are published.") % {
        "names": names,
        "n": len(new) - PENDING_SHOWN,
    }
    yield Attention("warn", title, text, f"{look.link('domains')}?status=pending", _("Sender domains"))


def _complaints(look: Look, domains: list[service.DomainWeek]) -> Iterator[Attention]:
    for week in domains:
        rate = week.figures["complaint_rate"]
        if rate is None or rate < COMPLAINTS_MARK:
            continue
        complaints, delivered = week.figures.count("complaints"), week.figures.count("delivered")
        facts = {
            "days": DAYS,
            "complaints": count_text(complaints),
            "delivered": count_text(delivered),
        }
        yield Attention(
            "bad" if rate >= COMPLAINTS_END else "warn",
            _("Complaint rate of %(domain)s is %(rate)s")
            % {"domain": week.domain, "rate": percent(complaints, delivered, 2)},
            _(
                "%(days)s days, %(complaints)s of %(delivered)s delivered. Gmail and Yahoo want under 0.1 %% and "
                "refuse mail from 0.3 %%."
            )
            % facts,
            look.link("spam-reports") or look.link("domain", week.domain.pk),
            _("Spam reports") if look.link("spam-reports") else _("Domain"),
        )


def _held(look: Look, waits: service.Line) -> Iterator[Attention]:
    """Mail that waits for a person. What goes on by itself stands among what is in line."""
    causes = (
        (
            HeldBy.CREDITS,
            "bad",
            _("%s because credits are used up"),
            _("It goes on by itself as soon as an administrator adds some."),
            look.link("plan"),
            _("Plan"),
        ),
        (
            HeldBy.DOMAIN_UNVERIFIED,
            "warn",
            _("%s because its sender domain is not verified"),
            _("Everything goes on by itself as soon as DNS answers."),
            look.link("domains"),
            _("Sender domains"),
        ),
        (
            HeldBy.API_USER,
            "warn",
            _("%s because its API user is disabled"),
            _("It goes on when the API user is enabled again."),
            look.link("api-users"),
            _("API users"),
        ),
    )
    for cause, tone, title, text, link, label in causes:
        if count := waits.held.get(cause, 0):
            emails = status_url(status=Status.HELD.value)
            yield Attention(
                "bad" if tone == "bad" else "warn",
                title % _mails_held(count),
                text,
                link or emails,
                label if link else _("Emails"),
            )


def _mails_held(count: int) -> str:
    return ngettext("%(n)s mail is held", "%(n)s mails are held", count) % {"n": count_text(count)}


def _paused_queues(look: Look) -> Iterator[Attention]:
    """What the receiving side, or an operator, keeps from going; loud when it has been so for more than two days."""
    here = look.link("queues")
    url = f"{here}?status=paused" if here else ""
    groups = standing.paused_groups(now=look.now)
    for group in groups[:PAUSED_SHOWN]:
        pause = group.pause
        loud = pause.since < look.now - standing.TOO_LONG
        name = group.domains[0]
        if len(group.domains) > 1:
            name = _("%(name)s and %(n)s more") % {"name": name, "n": count_text(len(group.domains) - 1)}
        title = _("Mail to %s has been paused for more than 2 days") if loud else _("Mail to %s is paused")
        waiting = ngettext("%(n)s mail waits.", "%(n)s mails wait.", group.waiting) % {"n": count_text(group.waiting)}
        if pause.reason == QueuePause.Reason.OPERATOR or pause.paused_until is None:
            goes_on = _("It goes on when somebody recovers it.")
        else:
            goes_on = _("Tried again at %s.") % clock(pause.paused_until)
        since = _("since %s.") % clock(pause.since)
        text = f"{capfirst(pause.get_reason_display())}, {since} {waiting} {goes_on}"
        yield Attention("bad" if loud else "warn", title % name, text, url, _("Queue status"))
    if len(groups) > PAUSED_SHOWN:
        title = _("%s more receiving sides are paused") % count_text(len(groups) - PAUSED_SHOWN)
        yield Attention("warn", title, "", url, _("Queue status"))


def _callbacks(look: Look) -> Iterator[Attention]:
    for callback in service.suspended_callbacks():
        title = _("Nothing takes callbacks at %s") % callback.url
        since = _("Suspended since %s.") % clock(callback.suspended_at) if callback.suspended_at else ""
        kept = _("Events are kept for 3 days and go as soon as one is taken.")
        yield Attention("warn", title, f"{since} {kept}", look.link("callbacks"), _("Callback addresses"))


def _failed_tasks(look: Look) -> Iterator[Attention]:
    for task in service.failed_tasks(look.now - dt.timedelta(days=DAYS)):
        yield Attention("bad", _("Task %s failed") % task.pk, task.failure, task_url(task), _("Task"))
