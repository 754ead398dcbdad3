"""Rows of delivery to test with."""

from __future__ import annotations

from typing import Any

import factory
from factory.django import DjangoModelFactory

from delivery.models import RecipientGroup
from delivery.services.recipient_files import read_recipients
from delivery.services.recipients import import_recipients


class GroupFactory(DjangoModelFactory):
    """A recipient group; `GroupFactory(people=3)` with three people at the simulator's `success@`."""

    class Meta:
        model = RecipientGroup
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Group {n}")

    @factory.post_generation
    def people(self: Any, create: bool, count: int | None, **kwargs: Any) -> None:
        if create and count:
            lines = [f"success+p{n}@simulator.test,Person {n}" for n in range(count)]
            import_recipients(
                self, read_recipients("\n".join(["email,name", *lines]).encode(), "people.csv", limit=None)
            )
