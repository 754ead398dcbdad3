"""Rows of the console to test with."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from console.models import ApiUser


class ApiUserFactory(DjangoModelFactory):
    class Meta:
        model = ApiUser

    name = factory.Sequence(lambda n: f"shop-{n}")
    type = ApiUser.Type.TRIGGER
