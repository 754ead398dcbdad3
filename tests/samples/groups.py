"""Recipient groups and their imports."""

from __future__ import annotations

from typing import Any

from delivery.services.recipient_files import read_recipients
from delivery.services.recipients import import_recipients
from tests.factories.delivery import GroupFactory
from tests.samples import rows, url_of


@rows("groups")
def groups(n: int) -> None:
    GroupFactory.create_batch(n, people=1)


@url_of("group", "group-edit", "group-import", "group-delete")
def group() -> dict[str, Any]:
    return {"pk": GroupFactory(people=3).pk}


@url_of("group-import-result", "group-import-errors")
def group_import() -> dict[str, Any]:
    group = GroupFactory()
    file = read_recipients(b"email,name\nann@example.com,Ann\nnobody,Bo\n", "people.csv")
    return {"pk": group.pk, "number": import_recipients(group, file).pk}
