"""What base.html shows on every page. All of it lazy: a page without the skeleton asks nothing."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import ngettext

from console import roles
from console.menu import menu

# A part that has been silent for longer is no longer counted; the supervisor beats every few seconds.
ALIVE_SECONDS = 30


def console(request: HttpRequest) -> dict[str, Any]:
    """Variables of every template: `account`, `menu`, `alive`, `role`, `version`, `theme`."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"version": settings.VERSION, "theme": ""}
    return {
        "version": settings.VERSION,
        "theme": user.theme,
        "account": getattr(request, "account", None),
        "menu": SimpleLazyObject(lambda: menu(request)),
        "role": SimpleLazyObject(lambda: roles.role_of(user)),
        "alive": SimpleLazyObject(_alive),
    }


def _alive() -> dict[str, Any]:
    """The foot of the menu: what runs, from the heartbeats."""
    from console.models import Heartbeat

    since = timezone.now() - dt.timedelta(seconds=ALIVE_SECONDS)
    parts = Counter(Heartbeat.objects.filter(beat_at__gte=since).values_list("part", flat=True))
    workers = sum(count for part, count in parts.items() if part in ("deliver", "jobs"))
    return {"workers": workers, "text": ngettext("%(n)s worker", "%(n)s workers", workers) % {"n": workers}}
