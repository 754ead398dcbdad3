"""`manage.py schedules`: put the periodic jobs into django-q2's table. Run at each start."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django_q.models import Schedule

from console import periodic


class Command(BaseCommand):
    help = "Write the schedule of periodic jobs."

    def handle(self, *args: Any, **options: Any) -> None:
        for name, (function, minutes) in periodic.jobs.items():
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
        Schedule.objects.exclude(name__in=periodic.jobs).delete()
