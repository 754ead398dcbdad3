"""Emptying the tests' database after a test that committed.

Django truncates every table, partitions and all, and then makes content types, permissions, roles, nodes and months
anew: that takes longer than most tests. Here rows are deleted where there are any, and what is made after a migration
is left as it is while nobody has changed it. Where that can't be told, it is done in Django's way, once.
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test import TransactionTestCase

# Beyond it (bytes), a table is truncated: what is deleted stays on disk until it is vacuumed.
MANY = 2**20
# What is leased in a test is let go here; who leased it says nothing about the rows.
LEASES = "console_node"
_flush: Any = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]


class Emptying:
    """Knows what stands in the database when it is called empty."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        # Table → its rows' digest, of those that hold rows even then.
        self.kept: dict[str, str] = {}

    def __call__(self, test: TransactionTestCase) -> None:
        connection.ensure_connection()
        if not self._emptied():
            _flush(test)
            self._learn()

    def _learn(self) -> None:
        sizes = _sizes()
        self.tables = set(sizes)
        filled = _filled([name for name, size in sizes.items() if size])
        self.kept = _digests(filled)

    def _emptied(self) -> bool:
        sizes = _sizes()
        if not self.tables or set(sizes) != self.tables:
            return False  # months were made or taken away
        filled = _filled([name for name, size in sizes.items() if size and name not in self.kept])
        if _digests(list(self.kept)) != self.kept:
            return False
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {LEASES} SET leased_until = now() WHERE leased_until > now()")
            large = [name for name in filled if sizes[name] > MANY]
            if large:
                cursor.execute(f"TRUNCATE {', '.join(large)} CASCADE")
            if set(filled) - set(large):
                # Without foreign keys in the way; all of it is deleted.
                cursor.execute(
                    "SET session_replication_role = replica;"
                    + "".join(f"DELETE FROM {name};" for name in filled if name not in large)
                    + "SET session_replication_role = DEFAULT"
                )
        return True


def _sizes() -> dict[str, int]:
    """Table → bytes on disk. Those without any hold no row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(relname), pg_relation_size(oid) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return dict(cursor.fetchall())


def _filled(names: list[str]) -> list[str]:
    """Those that hold a row."""
    if not names:
        return []
    asked = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names)
    with connection.cursor() as cursor:
        cursor.execute(asked)
        return [name for (name,) in cursor.fetchall()]


def _digests(names: list[str]) -> dict[str, str]:
    what = {name: "count(*)::text" if name == LEASES else _DIGEST for name in names}
    if not what:
        return {}
    asked = " UNION ALL ".join(f"SELECT '{name}', {digest} FROM {name} t" for name, digest in what.items())
    with connection.cursor() as cursor:
        cursor.execute(asked)
        return dict(cursor.fetchall())


_DIGEST = "coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '')"


def install() -> None:
    """From now on, in this process."""
    emptying = Emptying()
    TransactionTestCase._fixture_teardown = lambda test: emptying(test)  # type: ignore[attr-defined]
