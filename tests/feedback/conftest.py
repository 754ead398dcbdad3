from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command

from tests.feedback.mails import listening
from tracking.feedback.limits import Limits
from tracking.feedback.listener import Listener
from tracking.models import FeedbackMail


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database that other threads see, too; emptied once, for emptying it takes longer than a test."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def _listening(committed: None) -> Iterator[Listener]:
    with listening() as running:
        yield running


@pytest.fixture
def listener(_listening: Listener) -> Iterator[Listener]:
    """Of this process, on a port of its own, without limits and without mail."""
    _listening.limits = Limits(connections=1000, each=0, rate_each=0)
    yield _listening
    FeedbackMail.objects.all().delete()


@pytest.fixture
def emptied(committed: None) -> Iterator[None]:
    """For tests with a listener of their own."""
    yield
    FeedbackMail.objects.all().delete()
