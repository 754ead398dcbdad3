"""What people type into a request, checked before anything is made of it: subjects, labels, values of variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery.templating.variables import syntax_problems

SUBJECT_LENGTH = 256
LABEL_LENGTH = 64
VALUE_LENGTH = 2000
VALUES = 100

_NAME = re.compile(r"\w{1,64}")
# Line ends of every kind, other controls, and lone surrogates, which no encoding can carry.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# A value may have lines; what PostgreSQL or UTF-8 cannot hold it may not have.
_UNFIT_VALUE = re.compile("[\x00\ud800-\udfff]")


# Of a Template that is not `usable`.
NO_BODY = gettext_lazy("This template has no body yet. Choose another one.")


class Unfit(ValueError):
    """The text says what to do about it."""


def subject(text: str) -> str:
    """A subject that may hold `{{name}}`. Raises Unfit."""
    text = text.strip()
    if not text:
        raise Unfit(_("Enter a subject."))
    if _UNFIT.search(text):
        raise Unfit(_("A subject is one line without control characters. Type it again."))
    if len(text) > SUBJECT_LENGTH:
        raise Unfit(
            _("A subject has at most %(most)s characters; this one has %(count)s.")
            % {"most": SUBJECT_LENGTH, "count": len(text)}
        )
    if problems := syntax_problems(text):
        raise Unfit(problems[0].text)
    return text


def label(text: str) -> str:
    """A label, or "". Raises Unfit."""
    text = text.strip()
    if _UNFIT.search(text):
        raise Unfit(_("A label is one line without control characters. Type it again."))
    if len(text) > LABEL_LENGTH:
        raise Unfit(
            _("A label has at most %(most)s characters; this one has %(count)s.")
            % {"most": LABEL_LENGTH, "count": len(text)}
        )
    return text


def values(given: Mapping[str, Any]) -> dict[str, str]:
    """Values of variables as text: numbers as they are written, null as nothing. Raises Unfit naming the variable."""
    if len(given) > VALUES:
        raise Unfit(_("At most %(most)s variables; these are %(count)s.") % {"most": VALUES, "count": len(given)})
    found: dict[str, str] = {}
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            raise Unfit(
                _("“%(name)s” is no name of a variable: use letters, digits and underscores.") % {"name": name[:40]}
            )
        found[name] = _value(name, value)
    return found


def _value(name: str, value: Any) -> str:
    if isinstance(value, dict | list):
        raise Unfit(_("The value of %(name)s must be a text or a number, no list or object.") % {"name": name})
    if value is None:
        return ""
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    if _UNFIT_VALUE.search(text):
        raise Unfit(_("The value of %(name)s contains a character that can't be sent. Type it again.") % {"name": name})
    if len(text) > VALUE_LENGTH:
        raise Unfit(
            _("The value of %(name)s is longer than %(most)s characters.") % {"name": name, "most": VALUE_LENGTH}
        )
    return text
