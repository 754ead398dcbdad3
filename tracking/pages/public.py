"""The addresses that stand in mails. They stay as they are for as long as mails are kept: forever."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from console.registry import Page, register
from tracking import public

register(
    Page(
        name="click",
        route="c/<str:token>",
        view=public.click,
        title=_("Link"),
        public=True,
        bare=True,
        methods=("GET", "HEAD"),
    ),
    Page(
        name="open-image",
        route="o/<str:token>.gif",
        view=public.open_image,
        title=_("Open image"),
        public=True,
        bare=True,
        methods=("GET", "HEAD"),
    ),
)
