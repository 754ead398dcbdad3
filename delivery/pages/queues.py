"""Queue status: one row for each API user and receiving domain that has mail, moves or is paused; pausing by hand and
recovering; and the limits of a limit group."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django_q.tasks import async_task

from console.forms import posted
from console.lists import Empty, ListPage
from console.menu import Section, Trouble
from console.registry import Page, register
from console.templatetags.posthorn import num
from console.views import back, confirm, count_text
from delivery.engine import shape
from delivery.models import LimitGroup, Queue, Standing
from delivery.pages import queue_charts
from delivery.pages.queue_table import AVERAGES, QueueFilter, QueueTable, averaged_over
from delivery.services import pauses, standing

# Woken while the person waits; a job wakes the rest.
WOKEN_AT_ONCE = 20_000


def rows() -> QuerySet[Standing]:
    """How every queue stands, not older than 5 seconds (but see services/standing.py)."""
    standing.look(now=timezone.now())
    return Standing.objects.select_related("pause", "queue__api_user", "queue__receiving_domain")


def around(request: HttpRequest) -> dict[str, Any]:
    """The charts above the table, the choice of averages and the sums in its head."""
    listing = LIST.resolve(request.GET, request.account.zone, timezone.now(), request)  # type: ignore[attr-defined]
    sums = Standing.objects.aggregate(waiting=Sum("waiting"))
    chosen = averaged_over(request)
    found = queue_charts.context(request) if request.headers.get("HX-Target") != "results" else {}
    return {
        **found,
        "panel": "delivery/queue_charts.html" if found else "",
        "list_head": "delivery/queue_head.html",
        "averages": [(seconds, listing.query(rates=seconds), seconds == chosen) for seconds in AVERAGES],
        "waiting": sums["waiting"] or 0,
        "paused": Standing.objects.filter(rank__lte=1).count(),
    }


def trouble() -> Trouble | None:
    paused, too_long = standing.paused(now=timezone.now())
    return Trouble(paused, _("queues paused"), "bad" if too_long else "warn") if paused else None


LIST = ListPage(
    name="queues",
    route="queues/",
    title=gettext_lazy("Queue status"),
    noun=(gettext_lazy("queue"), gettext_lazy("queues")),
    rows=rows,
    filters=QueueFilter,
    table=QueueTable,
    permission="delivery.view_queue",
    order_by=("rank", "since", "-waiting"),
    default_sort="status",
    section=Section.RESPONSE,
    order=10,
    description=gettext_lazy(
        "One queue for each API user and receiving domain. The receiving side sets the pace; a paused queue tries "
        "again by itself."
    ),
    trouble=trouble,
    empty=Empty(
        title=gettext_lazy("No mail waits"),
        text=gettext_lazy("Queues are shown while they have mail, and for half a minute after their last."),
    ),
    refresh=5,
    template="delivery/queues.html",
    context=around,
)
register(LIST)


# --- pausing and recovering


def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Asked first: it stops the whole limit group."""
    queue = get_object_or_404(_queues(), pk=pk)
    group, domain = queue.receiving_domain.limit_group, queue.receiving_domain.name
    if request.method == "POST":
        pauses.pause(group.pk, by=request.user.get_username(), now=timezone.now())
        standing.look(now=timezone.now(), force=True)
        messages.success(request, _("Mail to %s is paused. What is on its way just now still ends.") % domain)
        return redirect("queues")
    standing.look(now=timezone.now())
    now_shown = Standing.objects.filter(queue__receiving_domain__limit_group=group)
    waiting = now_shown.aggregate(n=Sum("waiting"))["n"] or 0
    count = now_shown.count()
    whole = (
        _("Everything to %(name)s is paused, from every API user and sending IP: they share one limit group.")
        if count < 2
        else ngettext(
            "Everything to %(name)s is paused, from every API user and sending IP: %(n)s queue shares its limit group.",
            "Everything to %(name)s is paused, from every API user and sending IP: %(n)s queues share its limit group.",
            count,
        )
    )
    return confirm(
        request,
        title=_("Pause mail to %s?") % domain,
        button=_("Pause mail to %s") % domain,
        cancel="queues",
        consequences=[
            whole % {"name": domain, "n": count_text(count)},
            ngettext("%(n)s mail waits on.", "%(n)s mails wait on.", waiting) % {"n": count_text(waiting)},
            _("It does not go on by itself, but when somebody recovers it. Meanwhile the retry window runs."),
        ],
        crumbs=[(_("Queue status"), reverse("queues")), (_("pause"), "")],
    )


def recover(request: HttpRequest, pk: int) -> HttpResponse:
    queue = get_object_or_404(_queues(), pk=pk)
    group_id, domain = queue.receiving_domain.limit_group_id, queue.receiving_domain.name
    shown = Standing.objects.filter(pk=pk).select_related("pause").first()
    if shown is not None and shown.pause is not None and shown.pause.limit_group_id != group_id:
        # Its mail waits for a relay.
        pauses.recover(shown.pause.limit_group_id, now=timezone.now(), most=WOKEN_AT_ONCE)
    woken = pauses.recover(group_id, now=timezone.now(), most=WOKEN_AT_ONCE)
    if woken >= WOKEN_AT_ONCE:
        async_task("delivery.jobs.wake_group", group_id, cluster="jobs")
    standing.look(now=timezone.now(), force=True)
    text = _("Mail to %s goes on at once.") % domain
    if woken:
        text += " " + ngettext("%(n)s deferred mail is due.", "%(n)s deferred mails are due.", woken) % {
            "n": count_text(woken) if woken < WOKEN_AT_ONCE else _("over %s") % count_text(woken)
        }
    messages.success(request, text)
    return back(request, "queues")


def _queues() -> QuerySet[Queue]:
    return Queue.objects.select_related("receiving_domain__limit_group", "api_user")


# --- limits


class LimitsForm(forms.ModelForm):
    """Empty means what the rules say, which stands beside each field."""

    class Meta:
        model = LimitGroup
        fields = shape.LIMITS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rule = shape.limits_of(self.instance.name)
        for name, least, most, value in (
            ("connections", 1, 1000, num(rule.connections)),
            ("messages_per_connection", 1, 10_000, num(rule.messages_per_connection)),
            ("rate", 0, 10_000, num(rule.rate, 1) if rule.rate else ""),
            ("pause_minutes", 1, 24 * 60, num(rule.pause_minutes)),
            ("retry_minutes", 1, 24 * 60, num(rule.retry_minutes)),
        ):
            field = self.fields[name]
            field.validators += [MinValueValidator(least), MaxValueValidator(most)]
            field.widget.attrs |= {"min": least, "max": most}
            if name == "rate":
                field.widget.attrs["step"] = "any"
            value = value or _("no limit")
            field.help_text = _("Empty: the rules' value, %s.") % value
        if rule.rate:
            self.fields["rate"].help_text += " " + _("0: no limit.")


def limits(request: HttpRequest, pk: int) -> HttpResponse:
    group = get_object_or_404(LimitGroup, pk=pk)
    form = LimitsForm(instance=group, **posted(request))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("The limits of %s are saved. Workers heed them within 2 seconds.") % group.title)
        return redirect("queues")
    domains = group.domains.order_by("name")
    context = {
        "form": form,
        "group": group,
        "domains": list(domains.values_list("name", flat=True)[:10]),
        "more": max(0, domains.count() - 10),
        "title": _("Limits of %s") % group.title,
        "submit": _("Save limits"),
        "cancel": reverse("queues"),
        "crumbs": [(_("Queue status"), reverse("queues")), (_("limits"), "")],
    }
    return render(request, "delivery/limits.html", context, status=422 if form.is_bound else 200)


register(
    Page(
        name="queue-pause",
        route="queues/<int:pk>/pause/",
        view=pause,
        title=gettext_lazy("Pause"),
        permission="delivery.change_queue",
        parent="queues",
    ),
    Page(
        name="queue-recover",
        route="queues/<int:pk>/recover/",
        view=recover,
        title=gettext_lazy("Recover"),
        permission="delivery.change_queue",
        parent="queues",
        methods=("POST",),
    ),
    Page(
        name="limits",
        route="queues/limits/<int:pk>/",
        view=limits,
        title=gettext_lazy("Limits"),
        permission="delivery.change_limitgroup",
        parent="queues",
    ),
)
