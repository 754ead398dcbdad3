"""What `manage.py check` says of the rules: they are data, and may be changed by whoever knows more."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, register

from tracking import automatic, clients


@register
def rules_hold_together(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [
        *_of("automatic.toml", lambda: automatic.problems(automatic.rules())),
        *_of("clients.toml", lambda: clients.problems(clients.known())),
    ]


def _of(name: str, problems: Callable[[], Sequence[str]]) -> list[CheckMessage]:
    try:
        found = problems()
    except KeyError as missing:
        found = [f"an entry lacks {missing}"]
    except (OSError, ValueError, re.error) as error:
        found = [str(error)]
    return [Error(f"tracking/rules/{name}: {text}", id="tracking.E001") for text in found]
