"""Sender domains: the list, and the page of one with each DNS record beside what DNS answers."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.badges import Badge
from console.filters import ChoiceFilter, FilterSet, TextFilter
from console.forms import posted
from console.lists import Button, Empty, ListPage
from console.menu import Section, Trouble
from console.registry import Page, register
from console.tables import ActionsColumn, MainColumn, NumberColumn, RowAction, StatusColumn, Table, TimeColumn
from console.views import back, confirm, confirmed
from delivery.models import DkimKey, DnsRecord, SenderDomain
from delivery.models.address import ADDRESSES_PER_DOMAIN
from delivery.pages.domain_records import State, shown
from delivery.pages.domain_warmup import warmup_facts
from delivery.services import domains, quota

VERIFIED = Badge("ok", "check", gettext_lazy("Verified"))
PENDING = Badge("warn", "clock", gettext_lazy("Pending verification"))
LOST = Badge("bad", "alert-triangle", gettext_lazy("Pending verification"))


def domain_badge(domain: SenderDomain) -> Badge:
    if domain.verified:
        return VERIFIED
    return LOST.but(detail=gettext_lazy("lost its record"), title=domain.problem) if domain.problem else PENDING


# --- the list


def _rows() -> QuerySet[SenderDomain]:
    missing = Q(records__required=True) & ~Q(records__state=State.MATCHES)
    return SenderDomain.objects.annotate(
        address_count=Count("addresses", distinct=True),
        to_publish=Count("records", filter=missing, distinct=True),
    )


def _sub(domain: Any) -> str:
    if domain.verified:
        return str(_("Corporate mail: use a subdomain")) if domain.corporate_mail else ""
    if domain.problem:
        return str(domain.problem)
    if domain.checked_at is None:
        return str(_("DNS was not asked yet"))
    return ngettext(
        "%(n)s needed record does not match yet", "%(n)s needed records do not match yet", domain.to_publish
    ) % {"n": domain.to_publish}


class DomainFilter(FilterSet):
    name = TextFilter("name", gettext_lazy("Domain"), lookup_expr="icontains", placeholder=gettext_lazy("any part"))
    status = ChoiceFilter(
        "verified_at",
        gettext_lazy("Status"),
        choices=[("verified", gettext_lazy("Verified")), ("pending", gettext_lazy("Pending verification"))],
        method="by_status",
    )

    def by_status(self, rows: QuerySet[SenderDomain], name: str, value: str) -> QuerySet[SenderDomain]:
        return rows.filter(verified_at__isnull=value == "pending")


class DomainTable(Table):
    name = MainColumn(gettext_lazy("Domain"), url="domain", sub=_sub, sort="name")
    status = StatusColumn(
        gettext_lazy("Status"), badge=domain_badge, accessor="pk", width="cw-14", sort=("verified_at", "name")
    )
    level = NumberColumn(gettext_lazy("Level"), accessor="level", width="cw-5", sort="level", wide=True)
    addresses = NumberColumn(gettext_lazy("Addresses"), accessor="address_count", width="cw-6")
    checked = TimeColumn(gettext_lazy("Checked"), accessor="checked_at", style="minutes", sort="checked_at")
    created = TimeColumn(gettext_lazy("Created"), accessor="created_at", style="minutes", sort="created_at", wide=True)
    actions = ActionsColumn(
        lambda domain: [
            RowAction(
                gettext_lazy("Verify"),
                reverse("domain-verify", args=[domain.pk]),
                icon="refresh",
                permission="delivery.change_senderdomain",
                post=True,
            ),
            RowAction(
                gettext_lazy("Delete…"),
                reverse("domain-delete", args=[domain.pk]),
                icon="trash",
                permission="delivery.delete_senderdomain",
                danger=True,
            ),
        ]
    )


def _trouble() -> Trouble | None:
    lost = Q(verified_at=None) & ~Q(problem="")
    blocked = Q(days__day=quota.local_day(timezone.now()), days__blocked_at__isnull=False)
    count = SenderDomain.objects.filter(lost | blocked).distinct().count()
    return Trouble(count, ngettext("domain in trouble", "domains in trouble", count)) if count else None


_CREATE = Button(label=gettext_lazy("Create sender domain"), page="domain-new", permission="delivery.add_senderdomain")


# --- the page of one


def domain_page(request: HttpRequest, pk: int) -> HttpResponse:
    domain = get_object_or_404(SenderDomain, pk=pk)
    keys = {f"{key.selector}._domainkey.{domain.name}": key for key in domain.dkim_keys.all()}
    ordered = sorted(domain.records.all(), key=lambda record: (record.purpose != DnsRecord.Purpose.DKIM, record.pk))
    records = [shown(record, keys) for record in ordered]
    needed = [each for each in records if each.record.required]
    wrong = [each for each in needed if each.record.state != State.MATCHES]
    context = {
        "domain": domain,
        "badge": domain_badge(domain),
        "records": records,
        "needed": len(needed),
        "wrong": len(wrong),
        "next_key": next((key for key in keys.values() if not key.active and key.created_at > _signing(keys)), None),
        "addresses": list(domain.addresses.order_by("prefix")),
        "most_addresses": ADDRESSES_PER_DOMAIN,
        "relay": _relay(domain),
        "simulator": settings.SIMULATOR,
        "crumbs": [(_("Sender domains"), reverse("domains"))],
        **warmup_facts(domain, now=timezone.now()),
        "unanswered": bool(records) and all(each.record.state == State.NO_ANSWER for each in records),
    }
    return render(request, "delivery/domain.html", context)


def _relay(domain: SenderDomain) -> Any:
    from delivery.pages import domain_relay  # its pages stand below this one

    return domain_relay.shown(domain)


def _signing(keys: dict[str, DkimKey]) -> dt.datetime:
    return next((key.created_at for key in keys.values() if key.active), dt.datetime.min.replace(tzinfo=dt.UTC))


class DomainForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Domain"),
        max_length=253,
        widget=forms.TextInput(attrs={"placeholder": "mail.example.com", "autocomplete": "off", "spellcheck": "false"}),
        help_text=gettext_lazy(
            "The part after the @ of your sender addresses. Take a subdomain, like mail.example.com, when people have "
            "mailboxes at the domain itself. It can't be renamed."
        ),
        error_messages={"required": gettext_lazy("Enter a domain, like mail.example.com.")},
    )


def _next_step() -> str:
    if settings.SIMULATOR:
        return _(
            "Here the simulator is the whole outside world. Press “Publish in the simulator's DNS”, then “Verify now”."
        )
    return _("Now publish these records where the domain's DNS is kept, then press “Verify now”.")


def new(request: HttpRequest) -> HttpResponse:
    form = DomainForm(**posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            domain = domains.add_domain(form.cleaned_data["name"], by=request.user.get_username())
        except domains.DomainRefused as refused:
            form.add_error("name", str(refused))
        else:
            messages.success(request, _next_step())
            return redirect("domain", pk=domain.pk)
    context = {
        "form": form,
        "title": _("Create sender domain"),
        "submit": _("Create"),
        "cancel": reverse("domains"),
        "crumbs": [(_("Sender domains"), reverse("domains"))],
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


def verify(request: HttpRequest, pk: int) -> HttpResponse:
    domain = get_object_or_404(SenderDomain, pk=pk)
    _verify(request, domain)
    return back(request, reverse("domain", args=[pk]))


def _verify(request: HttpRequest, domain: SenderDomain) -> None:
    try:
        checked = domains.verify(domain, timezone.now())
    except SenderDomain.DoesNotExist:
        raise Http404 from None  # deleted while DNS was asked
    if checked.became == "verified":
        messages.success(request, _("%(domain)s is verified. Mail can be sent from it.") % {"domain": domain})
    elif not checked.answered:
        messages.error(
            request,
            _("DNS does not answer, so nothing is known about %(domain)s. It is asked again in 10 minutes.")
            % {"domain": domain},
        )
    elif checked.verified:
        messages.success(request, _("%(domain)s is verified; its records were read again.") % {"domain": domain})
    else:
        count = len(checked.not_matching)
        text = ngettext(
            "%(domain)s: %(n)s needed record does not match yet. A change in DNS takes 5 minutes to 2 hours to be "
            "seen; it is asked every 10 minutes.",
            "%(domain)s: %(n)s needed records do not match yet. A change in DNS takes 5 minutes to 2 hours to be "
            "seen; they are asked every 10 minutes.",
            count,
        )
        messages.warning(request, text % {"domain": domain, "n": count})


def publish(request: HttpRequest, pk: int) -> HttpResponse:
    """Only where the simulator is the outside world: what its owner would do at a DNS host."""
    domain = get_object_or_404(SenderDomain, pk=pk)
    try:
        domains.publish_in_simulator(domain)
    except (domains.DomainRefused, ValueError) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The records stand in the simulator's DNS. Verify now."))
    return back(request, reverse("domain", args=[pk]))


def delete(request: HttpRequest, pk: int) -> HttpResponse:
    domain = get_object_or_404(SenderDomain, pk=pk)
    if confirmed(request, domain.name):
        try:
            domains.delete_domain(domain)
        except domains.DomainRefused as refused:
            messages.error(request, str(refused))
            return redirect("domain", pk=pk)
        messages.success(request, _("%(domain)s is deleted.") % {"domain": domain.name})
        return redirect("domains")
    count = domain.addresses.count()
    addresses = ngettext(
        "Its %(n)s sender address is deleted too.", "Its %(n)s sender addresses are deleted too.", count
    )
    consequences = [
        *([addresses % {"n": count}] if count else []),
        _("Its DKIM key is destroyed: added again later, the domain needs a new record."),
        _("Mail that was sent from it stays on the status pages."),
    ]
    if why := domains.in_use(domain):
        consequences.insert(0, why)
    return confirm(
        request,
        title=_("Delete %(domain)s?") % {"domain": domain.name},
        button=_("Delete domain"),
        cancel=reverse("domain", args=[pk]),
        consequences=consequences,
        type_to_confirm=domain.name,
        crumbs=[(_("Sender domains"), reverse("domains")), (domain.name, reverse("domain", args=[pk]))],
    )


def change_page(
    name: str, route: str, view: Any, title: Any, *, post: bool = False, permission: str = "change"
) -> Page:
    return Page(
        name=name,
        route=f"domains/<int:pk>/{route}",
        view=view,
        title=title,
        permission=f"delivery.{permission}_senderdomain",
        parent="domains",
        methods=("POST",) if post else ("GET", "HEAD", "POST"),
    )


register(
    ListPage(
        name="domains",
        route="domains/",
        title=gettext_lazy("Sender domains"),
        noun=(gettext_lazy("domain"), gettext_lazy("domains")),
        rows=_rows,
        filters=DomainFilter,
        table=DomainTable,
        permission="delivery.view_senderdomain",
        order_by=("name",),
        default_sort="name",
        section=Section.CONFIGURATION,
        order=10,
        create=_CREATE,
        empty=Empty(
            icon="world",
            title=gettext_lazy("No sender domain yet"),
            text=gettext_lazy(
                "Mail is sent from a domain of yours. Add one, publish four DNS records, and it is verified in minutes."
            ),
            button=_CREATE,
        ),
        trouble=_trouble,
    ),
    Page(
        name="domain-new",
        route="domains/new/",
        view=new,
        title=_CREATE.label,
        permission="delivery.add_senderdomain",
        parent="domains",
    ),
    Page(
        name="domain",
        route="domains/<int:pk>/",
        view=domain_page,
        title=gettext_lazy("Sender domain"),
        permission="delivery.view_senderdomain",
        parent="domains",
        methods=("GET", "HEAD"),
    ),
    change_page("domain-verify", "verify/", verify, gettext_lazy("Verify"), post=True),
    change_page("domain-delete", "delete/", delete, gettext_lazy("Delete domain"), permission="delete"),
)
if settings.SIMULATOR:
    register(
        change_page("domain-publish", "publish/", publish, gettext_lazy("Publish in the simulator's DNS"), post=True)
    )
