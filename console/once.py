"""A form acts once, however often its button is pressed, or a browser sends it again.

It holds for every page of the registry, and neither forms nor views know of it: each form that is drawn holds a CSRF
token that no other does (the secret under a fresh mask), so what comes with the same token and the same content is the
same form. What acted is answered by leading on; where to is kept with the session, and a second time leads there, too.
That it began is kept before it acts: where the server died over it, nobody knows, and a second time asks to look.
A form that was changed, or whose page was loaded anew, acts as any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import import_module

from django.conf import settings
from django.contrib import messages
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from console import locks

_KEPT = 20
_NAME = "acted"
# No address begins so.
_BEGUN = "?"


def once(request: HttpRequest, act: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """The answer of `act`, or where to its answer led the first time. A second press waits for the first."""
    if request.method != "POST" or "csrfmiddlewaretoken" not in request.POST or not request.session.session_key:
        return act()
    form = _digest(request)
    if not _lock(form):
        messages.info(request, _("The form was sent a second time, and is still being worked on: look in a moment."))
        return redirect(settings.LOGIN_REDIRECT_URL)
    try:
        if (led_to := _acted(request).get(form)) is not None:
            return _again(request, led_to)
        _keep(request, form, _BEGUN)
        try:
            response = act()
        except OperationalError:  # the database went, perhaps after it had acted
            raise
        except Exception:
            _keep(request, form, "")
            raise
        _keep(request, form, _leads_to(response))
        return response
    finally:
        _unlock(form)


def afterwards(response: HttpResponseBase, url: str) -> None:
    """Says that the view has acted though it does not redirect, and where to a second time shall lead."""
    response.acted_for = url  # type: ignore[attr-defined]


def _again(request: HttpRequest, led_to: str) -> HttpResponseBase:
    if led_to == _BEGUN:
        messages.warning(
            request,
            _("The form was sent a second time, and the first was cut off: see whether it acted, and open it anew."),
        )
        return redirect(settings.LOGIN_REDIRECT_URL)
    messages.info(request, _("The form was sent a second time: only the first counts."))
    return HttpResponseRedirect(led_to)


def _leads_to(response: HttpResponseBase) -> str:
    return str(getattr(response, "acted_for", "") or getattr(response, "url", ""))


def _digest(request: HttpRequest) -> str:
    found = hashlib.sha256(repr((request.get_full_path(), sorted(request.POST.lists()))).encode())
    for name, files in sorted(request.FILES.lists()):
        for file in files:
            found.update(repr((name, file.name, file.size)).encode())
            for chunk in file.chunks():
                found.update(chunk)
            file.seek(0)
    return found.hexdigest()


def _key(form: str) -> int:
    return int.from_bytes(bytes.fromhex(form[:16]), signed=True)


def _lock(form: str) -> bool:
    """False: somebody works on this form, and takes long."""
    try:
        with locks.brief(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_key(form)])
    except OperationalError as error:
        if locks.given_up(error):
            return False
        raise
    return True


def _unlock(form: str) -> None:
    # Where the connection is gone, so is its lock.
    if connection.connection is not None and not connection.needs_rollback:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_key(form)])


def _acted(request: HttpRequest) -> dict[str, str]:
    # Read anew: this request's session was loaded before the first press was through.
    stored = import_module(settings.SESSION_ENGINE).SessionStore(request.session.session_key)
    found = stored.get(_NAME, {})
    return found if isinstance(found, dict) else {}


def _keep(request: HttpRequest, form: str, leads_to: str) -> None:
    """Empty: it did not act."""
    if not request.session.session_key:  # it was a farewell
        return
    kept = _acted(request)
    kept.pop(form, None)
    if leads_to:
        kept[form] = leads_to
    request.session[_NAME] = dict(list(kept.items())[-_KEPT:])
    request.session.save()
