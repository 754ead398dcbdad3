"""`manage.py schedules`: put the periodic jobs into django-q2's table. Run at each start."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django_q.models import Schedule

# Name → (function, every so many minutes).
SCHEDULES = {
    "check-domains": ("delivery.jobs.check_domains", 1),
    "go-on": ("delivery.jobs.go_on", 1),
    "fold-statistics": ("delivery.jobs.fold_statistics", 1),
    "tidy": ("delivery.jobs.tidy", 1),
    "make-partitions": ("delivery.jobs.make_partitions", 60 * 12),
}


class Command(BaseCommand):
    help = "Write the schedule of periodic jobs."

    def handle(self, *args: Any, **options: Any) -> None:
        for name, (function, minutes) in SCHEDULES.items():
            Schedule.objects.update_or_create(
                name=name,
                defaults={
                    "func": function,
                    "schedule_type": Schedule.MINUTES,
                    "minutes": minutes,
                    "repeats": -1,
                    "cluster": "jobs",
                },
            )
        Schedule.objects.exclude(name__in=SCHEDULES).delete()
