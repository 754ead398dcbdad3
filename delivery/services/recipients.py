"""Put a file of recipients into a group, set-wise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice

from django.db import connection, transaction

from console.files.lines import csv_lines
from console.files.sheets import ERRORS_KEPT
from delivery.models import GroupImport, RecipientGroup
from delivery.services.recipient_files import MalformedRow, RecipientFile, Row

CHUNK = 5_000  # rows a statement

# (rows so far, bytes read, bytes in all)
Progress = Callable[[int, int, int], None]

_UPSERT = """
    WITH stored AS (
        INSERT INTO delivery_recipient AS old (group_id, address, key, domain, variables)
        SELECT %s, address, key, domain, variables::jsonb
          FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS row (address, key, domain, variables)
        ON CONFLICT (group_id, key) DO UPDATE SET address = excluded.address, variables = excluded.variables
            WHERE (old.address, old.variables) IS DISTINCT FROM (excluded.address, excluded.variables)
        RETURNING xmax = 0 AS fresh
    )
    SELECT count(*) FROM stored WHERE fresh
"""


def import_recipients(
    group: RecipientGroup,
    file: RecipientFile,
    *,
    made_by: str = "",
    chunk: int = CHUNK,
    commit_chunks: bool = False,
    progress: Progress | None = None,
) -> GroupImport:
    """Store the file's valid rows in the group; a row whose address is there already replaces address and variables.

    The record counts total = valid (new to the group) + repeated (in the file or the group) + malformed. Everything is
    one transaction, unless `commit_chunks`: then each chunk of rows is, memory is bounded by `chunk`, and what was
    stored before an error stays. Raises RecipientFileError, and RecipientGroup.DoesNotExist when the group is deleted
    meanwhile. `group` is brought up to date.
    """
    record = GroupImport(
        group=group, filename=file.sheet.filename[:255], encoding=file.sheet.encoding_name, made_by=made_by
    )
    rows = iter(file)
    whole: AbstractContextManager[object] = nullcontext() if commit_chunks else transaction.atomic()
    with whole:
        while batch := list(islice(rows, chunk)):
            with transaction.atomic():
                _store(batch, record, file.columns)
            if progress is not None:
                progress(record.total, file.sheet.position, file.sheet.size)
    group.refresh_from_db(fields=["size", "variables"])
    return record


def _store(batch: list[Row | MalformedRow], record: GroupImport, columns: tuple[str, ...]) -> None:
    """One chunk with its counts, in the caller's transaction."""
    # The lock puts imports into one group behind each other: two files with the same people in another order would
    # deadlock row by row.
    group = RecipientGroup.objects.select_for_update().get(pk=record.group_id)
    valid = [row for row in batch if isinstance(row, Row)]
    malformed = [row for row in batch if isinstance(row, MalformedRow)]
    fresh = _upsert(group.pk, {row.address.key: row for row in valid})
    group.size += fresh
    group.variables += [name for name in columns if name not in group.variables]
    group.save(update_fields=["size", "variables"])
    record.total += len(batch)
    record.valid += fresh
    record.repeated += len(valid) - fresh
    record.malformed += len(malformed)
    room = ERRORS_KEPT - len(record.errors)
    record.errors += [list(row) for row in malformed[:room]]
    record.save()


def _upsert(group_id: int, rows: dict[str, Row]) -> int:
    """How many were new."""
    if not rows:
        return 0
    addresses = [row.address for row in rows.values()]
    with connection.cursor() as cursor:
        cursor.execute(
            _UPSERT,
            [
                group_id,
                [address.canonical for address in addresses],
                list(rows),
                [address.domain for address in addresses],
                [json.dumps(row.variables, ensure_ascii=False) for row in rows.values()],
            ],
        )
        return int(cursor.fetchone()[0])


def errors_csv(record: GroupImport) -> Iterator[str]:
    """The malformed rows of an import as the lines of a CSV file, for download."""
    return csv_lines([["line", "value", "reason"], *record.errors])
