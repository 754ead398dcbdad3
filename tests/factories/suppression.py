"""Entries of the suppression lists to test with."""

from __future__ import annotations

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from suppression.models import Entry


class EntryFactory(DjangoModelFactory):
    """An entry of the block list for all API users that never ends."""

    class Meta:
        model = Entry

    list = Entry.List.BLOCK
    key = factory.Sequence(lambda n: f"p{n}@example.org")
    created_at = factory.LazyFunction(timezone.now)
    latest_at = factory.SelfAttribute("created_at")
