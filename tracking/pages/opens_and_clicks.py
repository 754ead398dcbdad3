"""Opens and clicks: each hit with who and what it was, people's and machines'."""

from __future__ import annotations

from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Left, Lower
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import ids
from console.badges import Badge
from console.filters import ChoiceFilter, ChoicesFilter, DayFilter, IdFilter, ModelFilter, TextFilter
from console.lists import Button, Empty, ListPage
from console.menu import Section
from console.models import ApiUser
from console.registry import register
from console.tables import AddressColumn, CodeColumn, Column, StatusColumn, Table, TimeColumn
from console.window import Window
from delivery.models import Message, SenderDomain, Template
from delivery.pages.email_status import url_of_message
from delivery.pages.mail_filters import of_sender, users_of, versions_of
from tracking import automatic, counting
from tracking.models import LINK_INDEXED, Event
from tracking.of_messages import MOST_MESSAGES, of_few, of_messages, of_one
from tracking.pages.counts import Apart, CountsFilter, CountsPage

KINDS = (Event.Kind.OPEN, Event.Kind.CLICK)

OPENED = Badge("ok", "mail-opened", Event.Kind.OPEN.label)
CLICKED = Badge("ok", "pointer", Event.Kind.CLICK.label)


def rows(window: Window) -> QuerySet[Event]:
    """The window's opens and clicks, with what cells need of their messages, looked up for the page's rows alone."""
    message = Message.objects.filter(pk=OuterRef("message_id"))
    return counting.hits(window).annotate(
        recipient=Subquery(message.values("recipient")[:1]), subject=Subquery(message.values("subject")[:1])
    )


def event_badge(event: Event) -> Badge:
    """A machine's is calm, and says on hover how it was known."""
    badge = OPENED if event.kind == Event.Kind.OPEN else CLICKED
    if not event.automatic:
        return badge
    return Badge("calm", "robot", badge.word, _("automatic"), automatic.title(event.automatic))


class HitFilter(CountsFilter):
    main = ("recipient", "kind", "automatic")

    recipient = TextFilter(
        "recipient", gettext_lazy("Recipient"), placeholder=gettext_lazy("whole or first part"), method="by_recipient"
    )
    kind = ChoiceFilter("kind", gettext_lazy("What"), choices=[(kind.value, kind.label) for kind in KINDS])
    automatic = ChoiceFilter(
        "automatic",
        gettext_lazy("By"),
        choices=[("no", gettext_lazy("People")), ("yes", gettext_lazy("Machines"))],
        method="by_automatic",
    )
    link = TextFilter(
        "link", gettext_lazy("Link"), placeholder="https://shop.example/", max_length=2000, method="by_link"
    )
    # Of their messages, as email status asks for them.
    sender = TextFilter(
        "sender", gettext_lazy("Sender"), placeholder=gettext_lazy("whole address"), method="by_mail_sender"
    )
    type = ChoicesFilter("type", gettext_lazy("Email type"), choices=ApiUser.Type.choices, method="by_type")
    label = TextFilter("label", gettext_lazy("Label"), max_length=64, method="by_label")
    template = ModelFilter(
        "template", gettext_lazy("Template"), queryset=Template.objects.order_by("name"), method="by_template"
    )
    task = IdFilter("task", gettext_lazy("Task"), method="by_task")
    sent_from = DayFilter("sent_at", gettext_lazy("Sent from"))
    sent_to = DayFilter("sent_at", gettext_lazy("Sent up to"), last=True)

    def by_recipient(self, queryset: QuerySet[Event], name: str, text: str) -> QuerySet[Event]:
        messages = Message.objects.alias(lower_recipient=Lower("recipient")).filter(
            lower_recipient__startswith=Lower(Value(text))
        )
        few = of_few(queryset, messages)
        return queryset.filter(message_id__in=messages.values("pk")) if few is None else few

    def by_mail_sender(self, queryset: QuerySet[Event], name: str, text: str) -> QuerySet[Event]:
        messages = of_sender(Message.objects.all(), text)
        domain = SenderDomain.objects.filter(name=text.rpartition("@")[2].lower()).values_list("pk", flat=True).first()
        if domain is not None:
            # Hits know it: where few came of it, the messages of all times need not be gone through.
            found = queryset.filter(sender_domain_id=domain)
            if len(found.order_by().values_list("pk", flat=True)[: MOST_MESSAGES + 1]) <= MOST_MESSAGES:
                return found.filter(of_one(messages))
        few = of_few(queryset, messages)
        return queryset.filter(of_one(messages)) if few is None else few

    def by_type(self, queryset: QuerySet[Event], name: str, types: list[str]) -> QuerySet[Event]:
        return of_messages(queryset, "api_user_id", users_of(types)) if types else queryset

    def by_label(self, queryset: QuerySet[Event], name: str, text: str) -> QuerySet[Event]:
        return of_messages(queryset, "label", [text])

    def by_template(self, queryset: QuerySet[Event], name: str, template: Template) -> QuerySet[Event]:
        return of_messages(queryset, "version_id", versions_of(template))

    def by_task(self, queryset: QuerySet[Event], name: str, task: int) -> QuerySet[Event]:
        return of_messages(queryset, "task_id", [task])

    def by_link(self, queryset: QuerySet[Event], name: str, text: str) -> QuerySet[Event]:
        # By the index event_link. Clicks alone have one.
        begun = queryset.alias(beginning=Left("link", LINK_INDEXED)).filter(beginning__startswith=text[:LINK_INDEXED])
        return begun.filter(kind=Event.Kind.CLICK, link__startswith=text)

    def by_automatic(self, queryset: QuerySet[Event], name: str, value: str) -> QuerySet[Event]:
        return queryset.exclude(automatic="") if value == "yes" else queryset.filter(automatic="")


class TargetColumn(CodeColumn):
    """Where a click led, without the scheme that they all begin with; whole on hover and in files."""

    def render(self, value: str) -> SafeString:
        shown = value.partition("://")[2] or value
        return format_html('<span class="ph-cut ph-mono ph-muted" title="{}">{}</span>', value, shown)


class HitTable(Table):
    kind = StatusColumn(
        gettext_lazy("What"),
        badge=event_badge,
        accessor="pk",
        width="cw-11",
        phone="m-full",
        export={
            gettext_lazy("Event"): "id",
            gettext_lazy("What"): "kind",
            gettext_lazy("Automatic"): "automatic",
            gettext_lazy("Message"): "message_id",
        },
    )
    recipient = AddressColumn(
        gettext_lazy("Recipient"), url=lambda event: url_of_message(event.message_id), main=True, phone="m-a"
    )
    at = TimeColumn(gettext_lazy("Time"), sort="id", phone="m-b", export=ids.time_in_sql())
    link = TargetColumn(gettext_lazy("Link"))
    client = Column(gettext_lazy("Client"), width="cw-10", phone="m-full")
    ip = Column(gettext_lazy("IP"), width="cw-7", muted=True, phone="m-hide")
    subject = Column(gettext_lazy("Subject"), wide=True, muted=True, phone="m-hide")
    sent = TimeColumn(gettext_lazy("Sent"), accessor="sent_at", wide=True, phone="m-hide")
    user_agent = CodeColumn(gettext_lazy("User agent"), wide=True, phone="m-hide")


register(
    ListPage(
        name="opens-and-clicks",
        route="opens-and-clicks/",
        title=gettext_lazy("Opens and clicks"),
        noun=(gettext_lazy("open or click"), gettext_lazy("opens and clicks")),
        rows=rows,
        filters=HitFilter,
        table=HitTable,
        permission="tracking.view_event",
        window=gettext_lazy("Came"),
        default_sort="-at",
        section=Section.RESPONSE,
        order=30,
        description=gettext_lazy(
            "Each time a mail's image was loaded or a link followed. What scanners and mail programs do by themselves "
            "is called automatic and does not count as a person's."
        ),
        buttons=(
            Button(
                label=gettext_lazy("Counts"),
                page="opens-and-clicks-counts",
                permission="tracking.view_event",
                icon="chart-bar",
                primary=False,
            ),
        ),
        empty=Empty(
            icon="mail-opened",
            title=gettext_lazy("Nothing was opened or clicked yet"),
            text=gettext_lazy(
                "HTML mail carries an image and signed links as long as tracking is on. What recipients do with them "
                "stands here within a second."
            ),
            button=Button(label=gettext_lazy("Tracking settings"), page="tracking-settings", icon="adjustments"),
        ),
    ),
    CountsPage(
        of="opens-and-clicks",
        of_title=gettext_lazy("Opens and clicks"),
        title=gettext_lazy("Opens and clicks, counted"),
        one=gettext_lazy("Opens and clicks"),
        note=gettext_lazy(
            "Each counts on the day on which it came, however often a mail is opened. The statistics count by the day "
            "of the request."
        ),
        rows=counting.hits,
        filters=HitFilter,
        tone="ok",
        when=gettext_lazy("Came"),
        permission="tracking.view_event",
        apart=(
            Apart(gettext_lazy("Opens"), "busy", "kind = 'open' AND automatic = ''"),
            Apart(gettext_lazy("Clicks"), "ok", "kind = 'click' AND automatic = ''"),
            Apart(gettext_lazy("Automatic"), "calm", "automatic <> ''"),
        ),
    ),
)
