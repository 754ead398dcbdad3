"""From a token back to what it stands for.

What is asked at each click is remembered: a template version never changes, so nothing here goes stale.
"""

from __future__ import annotations

import functools
import json
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.encoding import iri_to_uri

from console import prepared
from delivery.models import Task, TemplateVersion
from delivery.templating import Compiled, compile, link_target
from delivery.tokens import Clicked, Tokens
from delivery.values import merged

# As many template versions, and links without variables, as one process keeps.
VERSIONS_KEPT = 200
LINKS_KEPT = 4096
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


def click_target(link: Clicked) -> str | None:
    """Where the link leads: an absolute http(s) URL, as it may stand in a Location header.

    Once the version is known here, no question to the database, or one where the link holds a variable. None where
    message, version or link are not kept any more, or where the recipient's values make no such URL.
    """
    try:
        if link.version_id is not None and not _varies(link.version_id, link.number):
            return _fixed(link.version_id, link.number)
        found = _filling(link.message_id)
        if found is None:
            return None
        version_id, values = found
        return _web_address(link_target(_compiled(version_id), link.number, values))
    except (TemplateVersion.DoesNotExist, IndexError):
        return None


def _filling(message_id: int) -> tuple[int, dict[str, str]] | None:
    """The message's template version and values."""
    row = prepared.row("SELECT version_id, variables, task_id FROM delivery_message WHERE id = %s", message_id)
    if row is None:
        return None
    version_id, own, task_id = row
    return version_id, merged(_defaults(task_id) if task_id else {}, json.loads(own))


@functools.lru_cache(maxsize=VERSIONS_KEPT)
def _defaults(task_id: int) -> dict[str, str]:
    """A task's never change."""
    return Task.objects.filter(pk=task_id).values_list("defaults", flat=True).first() or {}


@functools.lru_cache(maxsize=VERSIONS_KEPT)
def links_of(version_id: int) -> int:
    """How many different places the links of this version lead to; 0 when it is not kept any more."""
    try:
        return len({link.target for link in _compiled(version_id).links})
    except TemplateVersion.DoesNotExist:
        return 0


def _varies(version_id: int, index: int) -> bool:
    return not all(isinstance(part, str) for part in _compiled(version_id).links[index].target)


@functools.lru_cache(maxsize=LINKS_KEPT)
def _fixed(version_id: int, index: int) -> str | None:
    return _web_address(link_target(_compiled(version_id), index, {}))


def _web_address(target: str) -> str | None:
    # Browsers drop these from an address in HTML; in a header they would end it.
    target = target.translate(_REMOVE).strip()
    try:
        parts = urlsplit(target)
    except ValueError:
        return None
    return iri_to_uri(target) if parts.scheme.lower() in ("http", "https") and parts.netloc else None
