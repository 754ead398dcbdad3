"""What the bench works on: a domain, a 5 KB template with links, groups of any size, mail sent before."""

from __future__ import annotations

import csv
import datetime as dt
import io
import time

from django.db import connection
from django.utils import timezone

from console import ids, partitions
from console.models import ApiUser
from delivery.models import RecipientGroup, SenderAddress, SenderDomain, Task, Template, TemplateVersion
from delivery.services import dkim_keys, requests, tasks, warmup

LINKS = 10
PARAGRAPH = "Dear {{first_name}}, the linen that you asked for is here again, in {{colour}}, and one is put aside. "
PLAIN = '<p style="margin:0 0 8px;color:#333">Woven in the old mill by the river, washed and dried in the sun.</p>'
TEXT = (
    "Dear {{first_name}}, the linen is here again. https://shop.posthorn.test/ \r\nUnsubscribe: {{unsubscribe_url}}\r\n"
)


def html(size: int) -> str:
    """A page of about `size` bytes with 10 links, half of it written for the reader where it is small."""
    plain = PLAIN * max(0, (size - 5_000) // LINKS // len(PLAIN))
    articles = "".join(
        f"<p>{PARAGRAPH * 3}<a href='https://shop.posthorn.test/item/{n}?for={{{{customer}}}}'>Item {n}</a></p>{plain}"
        for n in range(LINKS)
    )
    return (
        "<!doctype html><html><body style='font:16px Arial'><h1>{{first_name}}, good news</h1>"
        f"{articles}<p><a href='{{{{unsubscribe_url}}}}'>Unsubscribe</a></p></body></html>"
    )


def sender() -> SenderAddress:
    """A verified domain's address."""
    domain, made = SenderDomain.objects.get_or_create(
        name="bench.posthorn.test", defaults={"verified_at": timezone.now(), "level": warmup.LEVELS}
    )
    if made:
        dkim_keys.make_key(domain, active=True)
    return SenderAddress.objects.get_or_create(domain=domain, prefix="news", defaults={"sender_name": "Bench"})[0]


def template(size: int = 5_000) -> Template:
    """Of mails of about so many bytes."""
    found, made = Template.objects.get_or_create(name=f"Bench {size}")
    if made:
        source = html(size)
        version = TemplateVersion.objects.create(
            template=found,
            number=1,
            type="html",
            source=source,
            html=source,
            text=TEXT,
            variables=["first_name", "colour", "customer"],
        )
        found.current = version
        found.save()
    return found


def new_group(name: str) -> RecipientGroup:
    return RecipientGroup.objects.create(name=f"{name}-{ids.new_id()}")


def csv_file(count: int, domain: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["email", "first_name", "colour", "customer"])
    for n in range(count):
        writer.writerow([f"reader{n}@{domain}", "Zoë", "sea & sand", f"c{n}"])
    return text.getvalue().encode()


def filled_group(name: str, count: int, *, domains: int) -> RecipientGroup:
    """A group of `count` readers spread over sink domains, made in the database."""
    group = new_group(name)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO delivery_recipient (group_id, address, key, domain, variables)
            SELECT %s, 'reader' || n || '@' || d, 'reader' || n || '@' || d, d,
                   jsonb_build_object('first_name', 'Zoë ' || n, 'colour', 'sea & sand', 'customer', 'c' || n)
            FROM (SELECT n, 'd' || (n %% %s) || '.sink.test' AS d FROM generate_series(1, %s) n) numbered
            """,
            [group.pk, domains, count],
        )
        cursor.execute("ANALYZE delivery_recipient")
    group.size, group.variables = count, ["first_name", "colour", "customer"]
    group.save()
    return group


def new_task(sender_address: SenderAddress, body: Template, group: RecipientGroup) -> tasks.NewTask:
    return tasks.NewTask("{{first_name}}, good news", group, body, sender_address)


def task_without_queueing(sender_address: SenderAddress, body: Template, group: RecipientGroup) -> Task:
    """A task that nobody expands but the caller."""
    return Task.objects.create(
        api_user=ApiUser.console("batch"),
        subject="{{first_name}}, good news",
        group=group,
        group_name=group.name,
        template=body,
        template_name=body.name,
        sender_address=sender_address,
        sender=sender_address.address,
    )


OLDER_DAYS = 60
OLDER_CHUNK = 500_000


def no_older_mail() -> None:
    """Forget what was sent."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE delivery_message, delivery_attempt")


def older_mail(count: int, *, days: float = OLDER_DAYS) -> float:
    """`count` settled messages of the last days, each with its attempt, and one task of their own; gives the seconds.

    Made in the database, then cleaned up as if they had come one by one. It is not the past that
    `manage.py make_history` makes, which lists and exports are tried on: that is spread over months, tasks, domains
    and outcomes, with events. These fill the partitions that are sent into, as densely as a part of the bench asks,
    and are of the bench's own template, whose links can be clicked.
    """
    begun = time.perf_counter()
    sender_address, body = sender(), template()
    task = task_without_queueing(sender_address, body, filled_group("older", 1, domains=1))
    domains = requests.receiving_domains([f"d{n}.sink.test" for n in range(50)])
    now = timezone.now()
    partitions.ensure(now, months_back=3)
    first = ids.id_at(now - dt.timedelta(days=days))
    # Never as late as a message that is made meanwhile.
    step = (ids.id_at(now) - first) // (count + 1)
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        for start in range(0, count, OLDER_CHUNK):
            numbers = {"start": start, "end": min(start + OLDER_CHUNK, count) - 1, "first": first, "step": step}
            cursor.execute(
                """
                INSERT INTO delivery_message (id, api_user_id, task_id, version_id, sender_domain_id,
                    receiving_domain_id, recipient, sender, sender_name, subject, label, to_field, variables, status,
                    reason, held_by, attempts, last_reply, sent_at)
                SELECT %(first)s + n * %(step)s, %(user)s, %(task)s, %(version)s, %(domain)s,
                    (%(domains)s::bigint[])[1 + n %% 50], 'reader' || n || '@d' || n %% 50 || '.sink.test', %(sender)s,
                    'Bench', 'Zoë ' || n || ', good news', 'bench', '', '{"first_name": "Zoë", "colour": "sea & sand"}',
                    CASE n %% 20 WHEN 3 THEN 'invalid' WHEN 7 THEN 'soft_bounce' ELSE 'delivered' END,
                    CASE n %% 20 WHEN 3 THEN 'not_exist' WHEN 7 THEN 'other' ELSE '' END, '', 1,
                    '250 2.0.0 Ok: queued as ' || to_hex(n), %(now)s::timestamptz - interval '1 minute'
                FROM generate_series(%(start)s::bigint, %(end)s::bigint) n
                """,
                {
                    **numbers,
                    "user": task.api_user_id,
                    "task": task.pk,
                    "version": body.current_id,
                    "domain": sender_address.domain_id,
                    "domains": [known.id for known in domains.values()],
                    "sender": sender_address.address,
                    "now": now,
                },
            )
            cursor.execute(
                """
                INSERT INTO delivery_attempt (message_id, number, at, seconds, outcome, reason, rule, phase, code,
                    enhanced, reply, mx_host, remote_ip, send_ip, tls, certificate, conversation)
                SELECT %(first)s + n * %(step)s, 1, %(now)s::timestamptz - interval '1 minute', 0.02,
                    CASE n %% 20 WHEN 3 THEN 'refused' WHEN 7 THEN 'deferred' ELSE 'delivered' END, '', 'taken', 'dot',
                    250, '2.0.0', '250 2.0.0 Ok: queued as ' || to_hex(n), 'mx.sink.test', '127.0.0.1', '127.0.0.1',
                    '', '', '[["mail", "250 2.1.0 Ok"], ["rcpt", "250 2.1.5 Ok"], ["data", "354 Go on"]]'
                FROM generate_series(%(start)s::bigint, %(end)s::bigint) n
                """,
                {**numbers, "now": now},
            )
        cursor.execute("RESET synchronous_commit")
        cursor.execute("VACUUM (ANALYZE) delivery_message, delivery_attempt")
        cursor.execute("CHECKPOINT")
    requests.move_counts([(task.pk, "delivered", count)])
    Task.objects.filter(pk=task.pk).update(status="done", ended_at=now, requested=count, expanded=True)
    return time.perf_counter() - begun


def database_bytes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])
