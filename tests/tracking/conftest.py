"""Every test begins with its allowance of requests unused: all come from one address."""

from __future__ import annotations

import pytest

from tracking import unsubscribe_page


@pytest.fixture(autouse=True)
def nobody_has_asked_yet() -> None:
    for limiter in (unsubscribe_page.BY_PAGE, unsubscribe_page.BY_ONE_CLICK, unsubscribe_page.BY_GUESS):
        limiter.forget()
