"""The addresses of the unsubscribe page. They stay as they are for as long as mails are kept: forever."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from console.registry import Page, register
from tracking import unsubscribe_page

register(
    Page(
        name="unsubscribe",
        route="u/<str:token>",
        view=unsubscribe_page.unsubscribe,
        title=_("Unsubscribe"),
        public=True,
    ),
    Page(
        name="resubscribe",
        route="r/<str:token>",
        view=unsubscribe_page.resubscribe,
        title=_("Subscribe again"),
        public=True,
    ),
)
