"""The times of a new task: what was asked for, checked, and as the task keeps it."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass, replace
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from delivery.models import Task
from delivery.schedule import SendWindow, local_moment
from delivery.services.refused import Refused

MOST_DAYS = 366


class UnfitTimes(Refused):
    """The text says what to do; `field` is the form's field that it belongs to."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a task runs and when its mail may go, by the wall clock of the account's zone."""

    type: str = Task.Type.BATCH
    # Without a zone: what the clock on the wall shows.
    starts: dt.datetime | None = None
    every_days: int | None = None
    # The last day on which a run begins. None: until somebody stops it.
    until: dt.date | None = None
    opens: dt.time | None = None
    closes: dt.time | None = None

    def checked(self, *, zone: zoneinfo.ZoneInfo, now: dt.datetime) -> Times:
        """Itself, without what its type does not use. Raises UnfitTimes."""
        self._check_window()
        if self.type == Task.Type.BATCH:
            return replace(self, starts=None, every_days=None, until=None)
        if self.starts is None:
            raise UnfitTimes(_("Enter when it begins."), "starts")
        if self.starts.year > now.year + 10:
            raise UnfitTimes(_("This is more than ten years away. Check the year."), "starts")
        if local_moment(self.starts.date(), self.starts.time(), zone) <= now:
            raise UnfitTimes(
                _("%(start)s has passed. It is %(now)s now.")
                % {"start": _written(self.starts), "now": date_format(now.astimezone(zone), "H:i")},
                "starts",
            )
        if self.type == Task.Type.SCHEDULED:
            return replace(self, every_days=None, until=None)
        if self.every_days is None or not 1 <= self.every_days <= MOST_DAYS:
            raise UnfitTimes(_("Enter every how many days it runs, 1 to %s.") % MOST_DAYS, "every_days")
        if self.until is not None and self.until < self.starts.date():
            raise UnfitTimes(_("The last day is before the first one. Leave it empty to run until stopped."), "until")
        return self

    def _check_window(self) -> None:
        if (self.opens is None) != (self.closes is None):
            missing = "window_opens" if self.opens is None else "window_closes"
            raise UnfitTimes(_("A send window needs both times. Empty both to send at any time."), missing)
        if self.opens is not None and self.opens == self.closes:
            raise UnfitTimes(_("It closes when it opens. Empty both times to send at any time."), "window_closes")

    @property
    def window(self) -> SendWindow | None:
        return SendWindow(self.opens, self.closes) if self.opens is not None and self.closes is not None else None

    def first_run(self, zone: zoneinfo.ZoneInfo) -> dt.datetime | None:
        """The moment at which it begins. None: at once."""
        return local_moment(self.starts.date(), self.starts.time(), zone) if self.starts else None

    def fields(self, zone: zoneinfo.ZoneInfo) -> dict[str, Any]:
        """As fields of a Task."""
        return {
            "type": self.type,
            "starts_on": self.starts.date() if self.starts else None,
            "start_time": self.starts.time() if self.starts else None,
            "every_days": self.every_days,
            "until": self.until,
            "next_run_at": self.first_run(zone),
            "planned_in": zone.key if self.starts else "",
            "window_opens": self.opens,
            "window_closes": self.closes,
        }


def _written(local: dt.datetime) -> str:
    return date_format(local, "j M Y H:i")
