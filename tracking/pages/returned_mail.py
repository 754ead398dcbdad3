"""Returned mail that could not be read: what it was, what went wrong, and once more or away with it."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.lists import Action, Empty, ListPage
from console.menu import Section, Trouble
from console.registry import Page, register
from console.tables import ActionsColumn, CodeColumn, MainColumn, RowAction, Table, TagColumn, TimeColumn
from console.views import confirm, count_text
from tracking.feedback import process
from tracking.feedback.envelope import identify
from tracking.feedback.health import failed
from tracking.models import FeedbackMail

SHOWN_BYTES = 64 * 1024
KINDS = {
    "bounce": gettext_lazy("Bounce mail"),
    "unsubscribe": gettext_lazy("Unsubscription"),
    "report": gettext_lazy("Complaint"),
}


def kind(mail: FeedbackMail) -> str:
    """What the address is for that it came to: what it says itself is just what nobody could find out."""
    ours = identify(mail.envelope_to)
    return str(KINDS[ours.kind]) if ours else _("Not known")


def error(mail: FeedbackMail) -> str:
    return mail.error or _("Whoever read it did not come to an end: killed, or out of memory.")


class ReturnedTable(Table):
    to = MainColumn(
        gettext_lazy("Came to"),
        accessor="envelope_to",
        url="returned-mail-page",
        sub=lambda mail: _("from %s") % (mail.envelope_from or "<>"),
        export={gettext_lazy("Came to"): "envelope_to", gettext_lazy("From"): "envelope_from"},
        empty_values=(),
    )
    kind = TagColumn(gettext_lazy("Kind"), accessor="pk", width="cw-9", phone="m-b")
    error = CodeColumn(gettext_lazy("What went wrong"), accessor="pk")
    received = TimeColumn(gettext_lazy("Received"), accessor="received_at", sort="id")
    actions = ActionsColumn(
        lambda mail: [
            RowAction(
                gettext_lazy("Try again"),
                reverse("returned-mail-again", args=[mail.pk]),
                icon="refresh",
                permission="tracking.change_feedbackmail",
                post=True,
            ),
            RowAction(gettext_lazy("Download"), reverse("returned-mail-raw", args=[mail.pk]), icon="download"),
            RowAction(
                gettext_lazy("Discard…"),
                reverse("returned-mail-discard-one", args=[mail.pk]),
                danger=True,
                permission="tracking.delete_feedbackmail",
            ),
        ]
    )

    def value_to(self, record: FeedbackMail) -> str:
        return record.envelope_to

    def render_kind(self, record: FeedbackMail, column: TagColumn) -> str:
        return column.render(kind(record))

    def value_kind(self, record: FeedbackMail) -> str:
        return kind(record)

    def render_error(self, record: FeedbackMail, column: CodeColumn) -> str:
        return column.render(error(record))

    def value_error(self, record: FeedbackMail) -> str:
        return error(record)


def _rows() -> QuerySet[FeedbackMail]:
    return failed().defer("raw", "digest")


def _mail(pk: int) -> FeedbackMail:
    return get_object_or_404(failed(), pk=pk)


def mail_page(request: HttpRequest, pk: int) -> HttpResponse:
    mail = _mail(pk)
    ours = identify(mail.envelope_to)
    context = {
        "mail": mail,
        "kind": kind(mail),
        "error": error(mail),
        "message_id": ours.message_id if ours else None,
        "text": bytes(mail.raw[:SHOWN_BYTES]).decode("utf-8", "replace"),
        "cut": mail.size > SHOWN_BYTES,
        "shown_bytes": SHOWN_BYTES,
        "crumbs": [(_("Returned mail"), reverse("returned-mail"))],
    }
    return render(request, "tracking/returned_mail.html", context)


def raw(request: HttpRequest, pk: int) -> HttpResponse:
    """As it came, as far as it is kept."""
    response = HttpResponse(bytes(_mail(pk).raw), content_type="message/rfc822")
    response["Content-Disposition"] = f'attachment; filename="returned-{pk}.eml"'
    return response


def again(request: HttpRequest, pk: int) -> HttpResponse:
    _mail(pk)
    messages.success(request, _try_again(failed().filter(pk=pk), request))
    return redirect("returned-mail")


def discard(request: HttpRequest, pk: int) -> HttpResponse:
    mail = _mail(pk)
    if request.method == "POST":
        messages.success(request, _discard(failed().filter(pk=pk), request))
        return redirect("returned-mail")
    return confirm(
        request,
        title=_("Discard this mail?"),
        button=_("Discard mail"),
        cancel=reverse("returned-mail-page", args=[pk]),
        consequences=[str(_FOLLOWS), _("It came to %s.") % (mail.envelope_to or _("an address that is not known"))],
        crumbs=[(_("Returned mail"), reverse("returned-mail"))],
    )


_FOLLOWS = gettext_lazy("What it says is lost: no status is corrected, and nobody is put on a list.")


def _try_again(mails: QuerySet[FeedbackMail], request: HttpRequest) -> str:
    count = process.again(mails, now=timezone.now())
    text = ngettext("%(n)s mail is read once more.", "%(n)s mails are read once more.", count)
    return text % {"n": count_text(count)}


def _discard(mails: QuerySet[FeedbackMail], request: HttpRequest) -> str:
    count = mails.delete()[0]
    return ngettext("%(n)s mail is discarded.", "%(n)s mails are discarded.", count) % {"n": count_text(count)}


def _trouble() -> Trouble | None:
    count = failed().count()
    return Trouble(count, ngettext("mail not read", "mails not read", count)) if count else None


register(
    ListPage(
        name="returned-mail",
        route="returned-mail/",
        title=gettext_lazy("Returned mail"),
        noun=(gettext_lazy("returned mail"), gettext_lazy("returned mails")),
        description=gettext_lazy(
            "Bounce mails, complaints and unsubscriptions that nobody could read, tried %(tries)s times. All others do "
            "what they say by themselves. Kept for %(days)s days."
        )
        % {"tries": process.TRIES, "days": settings.FEEDBACK_KEEP_DAYS},
        rows=_rows,
        table=ReturnedTable,
        permission="tracking.view_feedbackmail",
        section=Section.RESPONSE,
        order=70,
        trouble=_trouble,
        actions=[
            Action(
                name="again-all",
                label=gettext_lazy("Try again"),
                permission="tracking.change_feedbackmail",
                run=_try_again,
                consequence=gettext_lazy("They are read once more, and do what they say."),
                danger=False,
                icon="refresh",
            ),
            Action(
                name="discard",
                label=gettext_lazy("Discard"),
                permission="tracking.delete_feedbackmail",
                run=_discard,
                consequence=_FOLLOWS,
                icon="trash",
            ),
        ],
        empty=Empty(
            icon="inbox",
            title=gettext_lazy("Every returned mail was read"),
            text=gettext_lazy("What cannot be read stands here, to be looked at and tried again."),
        ),
    ),
    Page(
        name="returned-mail-page",
        route="returned-mail/<int:pk>/",
        view=mail_page,
        title=gettext_lazy("Returned mail"),
        permission="tracking.view_feedbackmail",
        parent="returned-mail",
        methods=("GET", "HEAD"),
    ),
    Page(
        name="returned-mail-raw",
        route="returned-mail/<int:pk>/raw.eml",
        view=raw,
        title=gettext_lazy("Download"),
        permission="tracking.view_feedbackmail",
        parent="returned-mail",
        methods=("GET", "HEAD"),
    ),
    Page(
        name="returned-mail-again",
        route="returned-mail/<int:pk>/again/",
        view=again,
        title=gettext_lazy("Try again"),
        permission="tracking.change_feedbackmail",
        parent="returned-mail",
        methods=("POST",),
    ),
    Page(
        name="returned-mail-discard-one",
        route="returned-mail/<int:pk>/discard/",
        view=discard,
        title=gettext_lazy("Discard"),
        permission="tracking.delete_feedbackmail",
        parent="returned-mail",
    ),
)
