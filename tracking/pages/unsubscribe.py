"""The unsubscribe link's address. It stays as it is for as long as mails are kept: forever."""

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
    )
)
