from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.feedback.mails import listening
from tracking.feedback.listener import Listener


@pytest.fixture
def listener(transactional_db: None) -> Iterator[Listener]:
    """Of this process, on a port of its own."""
    with listening() as running:
        yield running
