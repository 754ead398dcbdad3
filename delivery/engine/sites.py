"""What is remembered of routes: receiving domain → site and limit group, for a while, shared by all workers."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import json
from dataclasses import dataclass

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


def remember(domain_id: int, site: Site, *, now: dt.datetime) -> Route:
    """Store a fresh route; rows that waited under the domain's own limit group move to the site's."""
    key = site.key if len(site.key) <= KEY_LENGTH else "sha256:" + hashlib.sha256(site.key.encode()).hexdigest()
    until = now + REMEMBER
    provider = shape.provider_of(host.name for host in site.hosts)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO delivery_site (key, hosts, tencent) VALUES (%s, %s::jsonb, %s) "
            "ON CONFLICT (key) DO UPDATE SET hosts = excluded.hosts, tencent = excluded.tencent RETURNING id",
            [key, json.dumps([[host.name, list(host.addresses)] for host in site.hosts]), site.tencent],
        )
        site_id = cursor.fetchone()[0]
        cursor.execute(
            "INSERT INTO delivery_limitgroup (name) VALUES (%s) "
            "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
            [f"provider:{provider.name}" if provider else f"mx:{key}"],
        )
        group_id = cursor.fetchone()[0]
        cursor.execute("SELECT limit_group_id FROM delivery_receivingdomain WHERE id = %s FOR UPDATE", [domain_id])
        old_group_id = cursor.fetchone()[0]
        cursor.execute(
            "UPDATE delivery_receivingdomain SET site_id = %s, limit_group_id = %s, resolved_until = %s, "
            "nxdomain_since = NULL WHERE id = %s",
            [site_id, group_id, until, domain_id],
        )
    if old_group_id != group_id:
        move_waiting(domain_id, old_group_id, group_id)
    return Route(site, group_id, until)


def move_waiting(domain_id: int, old_group_id: int, group_id: int) -> None:
    """What this domain has waiting follows it to its new limit group, a bounded chunk a transaction."""
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE delivery_waiting SET limit_group_id = %s WHERE message_id = ANY(ARRAY(
                    SELECT w.message_id FROM delivery_waiting w JOIN delivery_queue q ON q.id = w.queue_id
                    WHERE w.limit_group_id = %s AND q.receiving_domain_id = %s AND w.state IN (0, 1, 2)
                    LIMIT 5000 FOR UPDATE OF w SKIP LOCKED))
                """,
                [group_id, old_group_id, domain_id],
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
