from typing import Any

from django.apps import AppConfig
from django.db.models.signals import m2m_changed, post_migrate
from django.utils.translation import gettext_lazy as _


class ConsoleConfig(AppConfig):
    name = "console"
    verbose_name = _("Console")

    def ready(self) -> None:
        from django.contrib.auth import get_user_model

        from console import roles

        post_migrate.connect(_make_nodes, sender=self)
        post_migrate.connect(_make_partitions, sender=self)
        post_migrate.connect(roles.sync)
        m2m_changed.connect(roles.follow_groups, sender=get_user_model().groups.through)


def _make_nodes(using: str, **kwargs: Any) -> None:
    """The migration made them; a flush takes them away."""
    from django.db import connections
    from django.utils import timezone

    from console.ids import NODES
    from console.models import Node

    if Node._meta.db_table in connections[using].introspection.table_names() and not Node.objects.using(using).exists():
        free = timezone.now()
        Node.objects.using(using).bulk_create(Node(number=number, leased_until=free) for number in range(NODES))


def _make_partitions(using: str, **kwargs: Any) -> None:
    from django.db import connections
    from django.utils import timezone

    from console import partitions

    existing = set(connections[using].introspection.table_names())
    if all(model._meta.db_table in existing for model in partitions.partitioned_models()):
        partitions.ensure(timezone.now())
