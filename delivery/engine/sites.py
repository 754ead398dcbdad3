"""What is remembered of routes: receiving domain → site and limit group, for a while, shared by all workers."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from delivery.engine import shape
from delivery.engine.types import Host, Site

REMEMBER = dt.timedelta(minutes=30)
NXDOMAIN_AGAIN = dt.timedelta(hours=1)
KEY_LENGTH = 280


@dataclass(frozen=True, slots=True)
class Route:
    site: Site
    limit_group_id: int
    until: dt.datetime


def usable(site: Site, *, loopback: bool) -> Site:
    """The site without addresses that no mail server of others can have: a domain must not make us call ourselves."""
    if loopback:
        return site
    hosts = [Host(host.name, tuple(a for a in host.addresses if not _ours(a))) for host in site.hosts]
    return Site(site.key, tuple(host for host in hosts if host.addresses), site.tencent)


def _ours(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_unspecified or ip.is_link_local or ip.is_multicast


def remembered(domain_ids: list[int], *, now: dt.datetime) -> dict[int, Route]:
    """Routes that are still good, by receiving domain."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT d.id, s.key, s.hosts::text, s.tencent, d.limit_group_id, d.resolved_until
            FROM delivery_receivingdomain d JOIN delivery_site s ON s.id = d.site_id
            WHERE d.id = ANY(%s) AND d.resolved_until > %s
            """,
            [domain_ids, now],
        )
        return {row[0]: Route(Site(row[1], _hosts(row[2]), row[3]), row[4], row[5]) for row in cursor.fetchall()}


def remember(found: Mapping[int, Site], *, now: dt.datetime) -> dict[int, Route]:
    """Store fresh routes, by receiving domain; rows that are ready under a domain's own limit group move to its site's.
    All at once, each kind of row locked in order: workers that resolve side by side wait, and do not lock each other
    out."""
    until = now + REMEMBER
    keys = {domain_id: _key(site) for domain_id, site in found.items()}
    names = {domain_id: _group_name(site, keys[domain_id]) for domain_id, site in found.items()}
    sites = {keys[domain_id]: site for domain_id, site in sorted(found.items())}
    with transaction.atomic(), connection.cursor() as cursor:
        site_ids = _upsert_sites(cursor, sites)
        group_ids = _upsert_groups(cursor, sorted(set(names.values())))
        domain_ids = sorted(found)
        cursor.execute(
            "SELECT id, limit_group_id FROM delivery_receivingdomain WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            [domain_ids],
        )
        before = dict(cursor.fetchall())
        cursor.execute(
            """
            UPDATE delivery_receivingdomain d SET site_id = v.site, limit_group_id = v.grp, resolved_until = %s,
                nxdomain_since = NULL
            FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS v(id, site, grp) WHERE d.id = v.id
            """,
            [
                until,
                domain_ids,
                [site_ids[keys[domain_id]] for domain_id in domain_ids],
                [group_ids[names[domain_id]] for domain_id in domain_ids],
            ],
        )
    moved: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for domain_id, old_group_id in before.items():
        if old_group_id != (group_id := group_ids[names[domain_id]]):
            moved[group_id].append((domain_id, old_group_id))
    for group_id, pairs in moved.items():
        _move_ready(pairs, group_id)
    return {domain_id: Route(site, group_ids[names[domain_id]], until) for domain_id, site in found.items()}


def _key(site: Site) -> str:
    return site.key if len(site.key) <= KEY_LENGTH else "sha256:" + hashlib.sha256(site.key.encode()).hexdigest()


def _group_name(site: Site, key: str) -> str:
    provider = shape.provider_of(host.name for host in site.hosts)
    return f"provider:{provider.name}" if provider else f"mx:{key}"


def _upsert_sites(cursor: Any, sites: Mapping[str, Site]) -> dict[str, int]:
    keys = sorted(sites)
    cursor.execute(
        """
        INSERT INTO delivery_site AS s (key, hosts, tencent)
        SELECT * FROM unnest(%s::text[], %s::jsonb[], %s::boolean[]) AS v(key, hosts, tencent) ORDER BY key
        ON CONFLICT (key) DO UPDATE SET hosts = excluded.hosts, tencent = excluded.tencent
            WHERE (s.hosts, s.tencent) IS DISTINCT FROM (excluded.hosts, excluded.tencent)
        """,
        [
            keys,
            [json.dumps([[host.name, list(host.addresses)] for host in sites[key].hosts]) for key in keys],
            [sites[key].tencent for key in keys],
        ],
    )
    cursor.execute("SELECT key, id FROM delivery_site WHERE key = ANY(%s)", [keys])
    return dict(cursor.fetchall())


def _upsert_groups(cursor: Any, names: list[str]) -> dict[str, int]:
    cursor.execute(
        "INSERT INTO delivery_limitgroup (name) SELECT n FROM unnest(%s::text[]) n ORDER BY n "
        "ON CONFLICT (name) DO NOTHING",
        [names],
    )
    cursor.execute("SELECT name, id FROM delivery_limitgroup WHERE name = ANY(%s)", [names])
    return dict(cursor.fetchall())


def _move_ready(pairs: list[tuple[int, int]], group_id: int) -> None:
    """What waits for these (receiving domain, limit group before) follows to the new limit group, a bounded chunk a
    transaction. What is put off or held has no index by group, and is put right when it is claimed."""
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE delivery_waiting SET limit_group_id = %s WHERE message_id = ANY(ARRAY(
                    SELECT w.message_id FROM unnest(%s::bigint[], %s::bigint[]) AS v(domain, grp)
                    JOIN delivery_waiting w ON w.state = 0 AND w.limit_group_id = v.grp
                    JOIN delivery_queue q ON q.id = w.queue_id AND q.receiving_domain_id = v.domain
                    LIMIT 5000 FOR UPDATE OF w SKIP LOCKED))
                """,
                [group_id, [pair[0] for pair in pairs], [pair[1] for pair in pairs]],
            )
            if cursor.rowcount < 5000:
                return


def seen_nxdomain(domain_id: int, *, now: dt.datetime) -> bool:
    """Note that the domain does not exist; True when that was already so an hour ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE delivery_receivingdomain SET nxdomain_since = coalesce(nxdomain_since, %s) WHERE id = %s "
            "RETURNING nxdomain_since",
            [now, domain_id],
        )
        row = cursor.fetchone()
    return row is not None and bool(row[0] <= now - NXDOMAIN_AGAIN)


def _hosts(text: str) -> tuple[Host, ...]:
    return tuple(Host(name, tuple(addresses)) for name, addresses in json.loads(text))
