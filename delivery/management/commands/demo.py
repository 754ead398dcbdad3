"""`manage.py demo`: from an empty machine to a batch delivered, in one command.

Sets up what an operator would set up by hand, sends a batch to the simulator's addresses, and holds the rows against
the simulator's own record, recipient by recipient.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import random
import secrets
import sys
import threading
import time
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.core.management.base import BaseCommand
from django.db import OperationalError
from django.utils import timezone

from console import roles
from console.management.commands.serve import ask_to_stop, default_parts, prepare
from console.models import Account, User
from console.supervisor import Supervisor
from delivery.management.agreement import Agreement, Marks, figures, figures_differ, settle_down
from delivery.models import Message, RecipientGroup, SenderAddress, SenderDomain, Task, Template
from delivery.models.status import FINAL
from delivery.services import domains, recipients, tasks, templates
from delivery.services.recipient_files import read_recipients
from delivery.simulator.behaviour import MOODY
from delivery.simulator.moods import MOODS
from suppression.models import Entry

DOMAIN = "news.posthorn.test"
GIVE_UP_SECONDS = 600
STANDARD_ERROR = 2
# Share of each simulator address in a demo batch, in per cent.
MIX = {
    "success": 66,
    "bounce": 5,
    "spam": 2,
    "blocked": 2,
    "rejected": 2,
    "deferred": 4,
    "full": 3,
    "softbounce": 3,
    "bouncelater": 3,
    "complaint": 3,
    "unsubscribe": 2,
    "unsubscribe+mailto": 1,
    "ooto": 3,
    "suppressionlist": 1,
}
KINDS = {
    "bounce": "bounce mails",
    "complaint": "complaints",
    "reply": "automatic replies",
    "unsubscription": "unsubscriptions",
}
# For what comes back once all is sent.
RETURN_SECONDS = 90
# The same with --weather rough: addresses and whole servers with moods beside them.
USUAL = 50
NAMES = ("Mio", "Léa", "João", "さくら", "Anna", "Kemi", "Wei", "Noor", "Peter", "Zoë")

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Your linen is back</title>
<style>
body { margin: 0; background: #f6f7f9; font: 16px/24px Arial, Helvetica, sans-serif; color: #232c37 }
.card { max-width: 560px; margin: 24px auto; padding: 32px; background: #ffffff }
h1 { font-size: 22px; line-height: 30px; margin: 0 0 16px }
.button { display: inline-block; padding: 12px 20px; background: #3a6de0; color: #ffffff; text-decoration: none }
.small { font-size: 13px; color: #596471 }
</style></head>
<body><div class="card">
<h1>{{first_name}}, your linen is back in stock</h1>
<p>You asked us to tell you when it is here again. It is, in {{colour}}, and we put one aside for you until Sunday.</p>
<p><a class="button" href="https://shop.posthorn.test/linen?for={{customer}}">See your linen</a></p>
<p>Or look around: <a href="https://shop.posthorn.test/new">what is new</a>,
<a href="https://shop.posthorn.test/care">how to care for linen</a>.</p>
<p class="small">You get this mail because you asked for it at shop.posthorn.test.
<a href="{{unsubscribe_url}}">Unsubscribe</a></p>
</div></body></html>
"""


class Command(BaseCommand):
    help = "Set up a demo, send a batch to the simulator, show what became of it, and keep the console running."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--recipients", type=int, default=1000)
        parser.add_argument(
            "--weather",
            choices=("fair", "rough"),
            default="fair",
            help="rough: servers with moods among the recipients'",
        )
        parser.add_argument("--exit", action="store_true", help="end after the batch; the last line is JSON")

    def handle(self, *args: Any, recipients: int, exit: bool, weather: str, **options: Any) -> None:
        if not (settings.EMBEDDED and settings.SIMULATOR):
            raise CommandError("The demo runs on the embedded default alone: unset DATABASE_URL and SIMULATOR.")
        if not 1 <= recipients <= 10_000:
            raise CommandError("--recipients: 1 to 10,000.")
        self.quiet()
        self.say("Preparing the database and the console …")
        prepare(web=True)
        # Standard output is for the JSON alone.
        supervisor = Supervisor(default_parts(), output=STANDARD_ERROR)
        ask_to_stop(supervisor)
        supervisor.start()
        watcher = threading.Thread(target=supervisor.run, daemon=True)
        watcher.start()
        try:
            password = self.administrator()
            self.clean_bounces()
            agreed = self.batch(recipients, supervisor, rough=weather == "rough", show_json=exit)
            if not exit and not supervisor.stopping:
                self.farewell(password)
                while not supervisor.stopping:
                    time.sleep(0.2)
        finally:
            supervisor.stop()
            watcher.join(timeout=5)
        if exit and not agreed:
            sys.exit(1)

    # --- what an operator sets up

    def administrator(self) -> str | None:
        """The administrator's password when there was none yet; it can be read this once."""
        if User.objects.filter(username="admin").exists():
            return None
        password = secrets.token_urlsafe(12)
        user = User.objects.create_user("admin", password=password, first_name="Demo", last_name="Admin")
        roles.give(user, roles.ADMINISTRATOR)
        user.is_staff = True
        user.save()
        account = Account.current()
        account.name = "Posthorn demo"
        account.save()
        return password

    def clean_bounces(self) -> None:
        """The simulator's addresses are for trying out, again and again: none stays on the bounce list."""
        Entry.objects.filter(list=Entry.List.BOUNCE, domain=settings.SIMULATOR_DOMAIN).delete()

    def sender(self) -> SenderAddress:
        domain = SenderDomain.objects.filter(name=DOMAIN).first() or domains.add_domain(DOMAIN)
        give_up = time.monotonic() + 30
        while not domain.verified:
            domains.publish_in_simulator(domain)
            domains.verify(domain, now=timezone.now())
            domain.refresh_from_db()
            if not domain.verified:
                # The simulator's DNS may still be starting.
                if time.monotonic() > give_up:
                    raise CommandError(f"{DOMAIN} could not be verified against the simulator's DNS.")
                time.sleep(0.3)
        address, _made = SenderAddress.objects.get_or_create(
            domain=domain, prefix="hello", defaults={"sender_name": "Linen & Co."}
        )
        return address

    def template(self) -> Template:
        found = Template.objects.filter(name="Back in stock", deleted_at=None).first()
        return found or templates.save_template(
            name="Back in stock",
            type=Template.Type.HTML,
            summary="We put one aside for you until Sunday.",
            source=TEMPLATE,
            by="demo",
        )

    def group(self, count: int, run: str, rough: bool) -> RecipientGroup:
        """A group out of a real CSV file, through the importer that the console uses."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["email", "first_name", "colour", "customer"])
        chooser = random.Random(run)  # noqa: S311  (a mix, no secret)
        mix = addresses(rough)
        for number, (local, domain) in enumerate(chooser.choices(list(mix), list(mix.values()), k=count)):
            name = chooser.choice(NAMES)
            # Fresh labels each time: nobody is on a list yet.
            address = f"{local}{'-' if '+' in local else '+'}{run}-{number}@{domain}"
            writer.writerow([address, name, chooser.choice(("sand", "sea", "moss & fern")), f"c{number:05d}"])
        group = RecipientGroup.objects.create(name=f"Demo {timezone.localtime():%Y-%m-%d %H:%M} {run}")
        data = text.getvalue().encode()
        recipients.import_recipients(group, read_recipients(io.BytesIO(data), "demo.csv"), made_by="demo")
        group.refresh_from_db()
        return group

    # --- the batch

    def batch(self, count: int, supervisor: Supervisor, *, rough: bool, show_json: bool) -> bool:
        sender, template = self.sender(), self.template()
        run = secrets.token_hex(3)
        group = self.group(count, run, rough)
        since, before = Marks.now(settings.SIMULATOR_DIR), figures()
        started = time.monotonic()
        task = tasks.create_task(
            tasks.NewTask(
                subject="{{first_name}}, your linen is back in stock",
                group=group,
                template=template,
                sender_address=sender,
                label="demo",
                created_by="admin",
            )
        )
        self.say(f"Sending to {group.size:,} recipients of the simulator …")
        counts = self.watch(task, group.size, supervisor)
        seconds = time.monotonic() - started
        self.say("Waiting for what comes back: bounce mails, complaints, replies, unsubscriptions, opens and clicks …")
        found = settle_down(
            task,
            settings.SIMULATOR_DOMAIN,
            settings.SIMULATOR_DIR,
            f"{run}-",
            since,
            seconds=RETURN_SECONDS,
            over=lambda: supervisor.stopping,
        )
        found.differences += figures_differ(found, before)
        counts = tasks.counts_of([task.pk])[task.pk]
        outcome: Counter[tuple[str, str]] = Counter(
            Message.objects.filter(task_id=task.pk).values_list("status", "reason")
        )
        reasons: Counter[str] = Counter()
        for (_status, reason), count in outcome.items():
            if reason:
                reasons[reason] += count
        final = sum(count for status, count in counts.items() if status in FINAL)
        agreed = final == group.size == sum(outcome.values()) and not found.differences
        self.table(outcome, group.size)
        self.returned(found)
        if show_json:
            by_status = {status: number for status, number in sorted(counts.items()) if number}
            result = {
                "requested": group.size,
                "by_status": by_status,
                "by_reason": dict(sorted(reasons.items())),
                "seconds": round(seconds, 2),
            }
            if rough:
                result |= {"weather": "rough", "agreed": agreed, "doubled_unanswered": found.unsaid}
            self.stdout.write(json.dumps(result))
        return agreed

    def watch(self, task: Task, size: int, supervisor: Supervisor) -> dict[str, int]:
        """A bar until the task ends; the counts by status."""
        give_up = time.monotonic() + GIVE_UP_SECONDS
        live = sys.stderr.isatty()
        told = 0.0
        while True:
            try:
                counts = tasks.counts_of([task.pk])[task.pk]
                task.refresh_from_db()
            except OperationalError:
                time.sleep(1)
                continue
            final = sum(count for status, count in counts.items() if status in FINAL)
            ended = task.ended_at is not None
            if live or ended or time.monotonic() - told > 5:
                told = time.monotonic()
                filled = round(30 * final / max(1, size))
                line = f"  {'█' * filled}{'░' * (30 - filled)} {final:>6,} of {size:,}"
                sys.stderr.write(f"\r{line}" if live else f"{line}\n")
                sys.stderr.flush()
            if ended or supervisor.stopping or time.monotonic() > give_up:
                if live:
                    sys.stderr.write("\n")
                return counts
            time.sleep(0.2)

    def table(self, outcome: Counter[tuple[str, str]], size: int) -> None:
        self.say(f"\n  {'status':<14} {'reason':<14} {'mails':>8}")
        for (status, reason), count in sorted(outcome.items(), key=lambda item: -item[1]):
            self.say(f"  {status:<14} {reason or '–':<14} {count:>8,}   {100 * count / max(1, size):5.1f} %")
        self.say("")

    def returned(self, found: Agreement) -> None:
        """What came back, and whether the simulator's record says the same as our rows."""
        if found.returned:
            kinds = ", ".join(f"{count:,} {KINDS[kind]}" for kind, count in found.returned.most_common())
            self.say(f"Came back: {kinds}.")
        if any(found.seen.values()):
            self.say(", ".join(f"{count:,} {what}" for what, count in found.seen.items()).capitalize() + ".\n")
        if found.differences:
            self.say(f"The simulator's record DISAGREES in {len(found.differences)} places:")
            for text in found.differences[:10]:
                self.say(f"  {text}")
            return
        self.say(f"The simulator's own record agrees: {found.accepted:,} mails accepted, none missed or doubled.")
        self.say("So do the overview's figures.")
        if found.unsaid:
            self.say(f"Taken without a word, and so sent once more, as it must be: {found.unsaid:,}.")

    def farewell(self, password: str | None) -> None:
        self.say(f"\nThe console runs at {settings.PUBLIC_URL}/")
        if password:
            self.say(f"  user      admin\n  password  {password}   (shown this once)")
        else:
            self.say("  user      admin, with the password shown at the first start")
            self.say("  forgotten?  manage.py changepassword admin")
        self.say("Ctrl-C ends it.")

    def quiet(self) -> None:
        """Less of the log beside the bar, in the parts as well, unless it is asked for."""
        if "LOG_LEVEL" not in os.environ:
            os.environ["LOG_LEVEL"] = "WARNING"
            logging.getLogger().setLevel("WARNING")

    def say(self, text: str) -> None:
        # Progress and prose go to standard error, so that standard output ends with the JSON alone.
        self.stderr.write(text, style_func=str)


def addresses(rough: bool) -> dict[tuple[str, str], float]:
    """(local part, domain) of a demo's recipients → its weight. A local part may have the beginning of its label."""
    usual = {(local, settings.SIMULATOR_DOMAIN): float(share) for local, share in MIX.items()}
    if not rough:
        return usual
    moody = [(one.local, settings.SIMULATOR_DOMAIN) for one in MOODY]
    moody += [("ann", one.domain) for one in MOODS if one.final]
    return {key: share * USUAL / 100 for key, share in usual.items()} | dict.fromkeys(moody, (100 - USUAL) / len(moody))
