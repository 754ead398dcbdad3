from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ConsoleConfig(AppConfig):
    name = "console"
    verbose_name = _("Console")

    def ready(self) -> None:
        post_migrate.connect(_make_partitions, sender=self)


def _make_partitions(using: str, **kwargs: Any) -> None:
    from django.db import connections
    from django.utils import timezone

    from console import partitions

    existing = set(connections[using].introspection.table_names())
    if all(model._meta.db_table in existing for model in partitions.partitioned_models()):
        partitions.ensure(timezone.now())
