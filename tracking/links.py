"""From a token back to what it stands for."""

from __future__ import annotations

import functools
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.encoding import iri_to_uri

from delivery.models import Message, TemplateVersion
from delivery.templating import Compiled, compile, link_target
from delivery.tokens import Tokens
from delivery.values import merged

# As many template versions as are kept compiled in one process. Versions never change, so nothing here goes stale.
VERSIONS_KEPT = 200
_REMOVE = str.maketrans("", "", "\t\r\n")


@functools.cache
def tokens() -> Tokens:
    """The tokens of this installation."""
    return Tokens(settings.TOKEN_KEYS)


@functools.lru_cache(maxsize=VERSIONS_KEPT)
def _compiled(version_id: int) -> Compiled:
    """Link numbers depend on the HTML alone, so this need not be compiled as it was for sending."""
    html, text = TemplateVersion.objects.values_list("html", "text").get(pk=version_id)
    return compile(html or None, text)


def click_target(message_id: int, index: int) -> str | None:
    """Where this link of this message leads: an absolute http(s) URL, as it may stand in a Location header.

    None where message, version or link are not kept any more, or where the recipient's values make no such URL.
    """
    found = Message.objects.filter(pk=message_id).values_list("version_id", "variables", "task__defaults").first()
    if found is None:
        return None
    version_id, own, defaults = found
    try:
        target = link_target(_compiled(version_id), index, merged(defaults or {}, own))
    except (TemplateVersion.DoesNotExist, IndexError):
        return None
    return _web_address(target)


def _web_address(target: str) -> str | None:
    # Browsers drop these from an address in HTML; in a header they would end it.
    target = target.translate(_REMOVE).strip()
    try:
        parts = urlsplit(target)
    except ValueError:
        return None
    return iri_to_uri(target) if parts.scheme.lower() in ("http", "https") and parts.netloc else None
