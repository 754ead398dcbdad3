"""What the overview is told of returned mail: whether somebody takes it in, and whether it is worked on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console import heartbeat
from console.views import count_text
from delivery.attention import Attention, Look
from tracking.models import FeedbackMail

# A mail that nobody has begun for so long waits for a worker, not for its turn.
LATE = dt.timedelta(minutes=10)
COUNTED = 10_000


def failed() -> QuerySet[FeedbackMail]:
    """Mails that were tried often enough: a person is to look at them."""
    return FeedbackMail.objects.filter(state=FeedbackMail.State.FAILED)


def attention(look: Look) -> Iterator[Attention]:
    if settings.FEEDBACK_PORT and not heartbeat.alive().get("listener"):
        yield Attention(
            "warn",
            _("The mail listener does not run"),
            _("Bounce mails and complaints are not taken in until it does: start it with “manage.py serve”."),
        )
    if count := failed().values("pk")[: COUNTED + 1].count():
        title = ngettext("%(n)s returned mail could not be read", "%(n)s returned mails could not be read", count)
        yield Attention(
            "warn",
            title % {"n": _text(count)},
            _("What they say has not been done. Look at them, try again, or discard them."),
            look.link("returned-mail"),
            _("Returned mail"),
        )
    late = FeedbackMail.objects.filter(state=FeedbackMail.State.WAITING, due__lt=look.now - LATE)
    if count := late.values("pk")[: COUNTED + 1].count():
        title = ngettext("%(n)s returned mail is not read yet", "%(n)s returned mails are not read yet", count)
        yield Attention(
            "warn",
            title % {"n": _text(count)},
            _("What they say shows once they are. A worker of the part “jobs” reads them: see that one runs."),
        )


def _text(count: int) -> str:
    return _("over %s") % count_text(COUNTED) if count > COUNTED else count_text(count)
