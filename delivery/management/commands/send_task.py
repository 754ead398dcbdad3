"""`manage.py send_task`: make a batch task from the command line, and if wished wait for its end."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from delivery.management.shared import M, bar, named
from delivery.models import RecipientGroup, SenderAddress, Status, Task, TaskStatus, Template
from delivery.models.status import FINAL
from delivery.services.tasks import NewTask, TaskRefused, counts_of, create_task
from suppression.address import MalformedAddress, parse

# A paused task has not ended, but nobody can say when it will.
ENDED = (TaskStatus.DONE, TaskStatus.STOPPED, TaskStatus.FAILED)


class Command(BaseCommand):
    help = "Make a batch task; it is sent by the workers. Prints the task's id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--group", required=True, help="name or id of the recipient group")
        parser.add_argument("--template", required=True, help="name or id of the email template")
        parser.add_argument("--from", required=True, dest="sender", help="a sender address: news@example.com")
        parser.add_argument("--subject", required=True, help="may hold variables, as {{first_name}}")
        parser.add_argument("--label", default="", help="groups the figures of several tasks")
        parser.add_argument("--defaults", default="{}", help="default variables, a JSON object")
        parser.add_argument("--control", type=int, default=0, metavar="PERCENT", help="control group, 0 to 50 %%")
        parser.add_argument("--wait", action="store_true", help="show progress until the task has ended")

    def handle(self, *args: Any, **options: Any) -> None:
        new = NewTask(
            subject=options["subject"],
            group=_one(RecipientGroup.objects.all(), options["group"], "recipient group"),
            template=_one(Template.objects.filter(deleted_at=None), options["template"], "email template"),
            sender_address=_sender(options["sender"]),
            defaults=_object(options["defaults"]),
            label=options["label"],
            control_percent=options["control"],
            created_by="send_task",
        )
        try:
            task = create_task(new)
        except TaskRefused as refused:
            raise CommandError(f"{refused.field}: {refused}" if refused.field else str(refused)) from None
        self.stdout.write(str(task.pk))
        if options["wait"]:
            self._wait(task)

    def _wait(self, task: Task) -> None:
        live = self.stderr.isatty()
        written = ""
        try:
            while True:
                task.refresh_from_db()
                counts = counts_of([task.pk])[task.pk]
                text = _progress(task, counts)
                if text != written:
                    self.stderr.write(f"\r{text}" if live else text, ending="" if live else "\n")
                    self.stderr.flush()
                    written = text
                if task.status in ENDED and task.ended_at is not None:
                    break
                time.sleep(0.5 if live else 2)
        except KeyboardInterrupt:
            raise CommandError(f"No longer waited for; task {task.pk} goes on.", returncode=130) from None
        if live:
            self.stderr.write("")
        for status in Status.values:
            if counts.get(status):
                self.stdout.write(f"{status} {counts[status]}")
        if task.status == TaskStatus.FAILED:
            raise CommandError(f"Task {task.pk} failed: {task.failure}")
        if task.status == TaskStatus.STOPPED:
            raise CommandError(f"Task {task.pk} was stopped{f' by {task.acted_by}' if task.acted_by else ''}.")


def _progress(task: Task, counts: dict[str, int]) -> str:
    whole = task.requested if task.expanded else max(task.requested, task.group.size if task.group else 0)
    done = sum(counts.get(status, 0) for status in FINAL)
    return f"{bar(done / whole if whole else 0.0)}  {done:,} of {whole:,}  {task.status}"


def _one(rows: QuerySet[M], text: str, what: str) -> M:
    found = named(rows, text)
    if found is None:
        raise CommandError(f"There is no {what} “{text}”.")
    return found


def _sender(text: str) -> SenderAddress:
    try:
        address = parse(text)
    except MalformedAddress as malformed:
        raise CommandError(f"--from “{text}”: {malformed.reason}") from None
    found = SenderAddress.objects.filter(prefix__iexact=address.local, domain__name=address.domain).first()
    if found is None:
        raise CommandError(f"{address} is no sender address here. Create it on the page Sender addresses.")
    return found


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--defaults is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise CommandError('--defaults is JSON, but no object. Write it as {"name": "value"}.')
    return read
