"""A list as a file, from the button to the day on which it has expired, as somebody does it who may only look."""

from __future__ import annotations

import csv
import datetime as dt
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models import F
from python_calamine import CalamineWorkbook

from exports import jobs, making, progress, writers
from exports.models import Export, State
from tests.factories.sending import message
from tests.installation import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOWN, OTHERS = 6, 3


def shown_rows(page: Page) -> list[tuple[str, ...]]:
    """Recipient, subject, last reply and second of the request of each row, as the page shows them."""
    heads = [text.strip() for text in page.locator("#results thead th").all_inner_texts()]
    places = [heads.index(name) for name in ("Recipient", "Subject", "Requested")]
    rows = page.locator("#results tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(c => c.innerText))"
    )
    return [tuple(re.sub(r"\s+(?=@)", "", " ".join(row[place].split())) for place in places) for row in rows]


def written_rows(rows: list[list[str]]) -> list[tuple[str, ...]]:
    heads, *cells = rows
    places = [heads.index(name) for name in ("Recipient", "Subject", "Requested (UTC)")]
    return [tuple(str(row[place]) for place in places) for row in cells]


def ask_for(page: Page, format: str) -> None:
    page.goto("/email-status/?status=invalid&size=50")
    page.get_by_role("link", name=f"Export {SHOWN} emails").click()
    page.get_by_text("Status: Invalid").or_(page.locator(".ph-chip", has_text="Invalid")).wait_for()
    page.get_by_text(format, exact=True).click()
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_text("The export is on its way.").wait_for()


def same(shown: list[tuple[str, ...]], written: list[tuple[str, ...]]) -> bool:
    """In the same order; the file has the year and the part of the second as well."""
    assert [row[:2] for row in shown] == [row[:2] for row in written]
    for (*_cells, short), (*_same, long) in zip(shown, written, strict=True):
        at = dt.datetime.fromisoformat(long)
        assert short.split()[-1] == f"{at:%H:%M:%S}", (short, long)
    return True


def seven_days_pass() -> None:
    """For all that was asked for; then comes the hour of whoever deletes."""
    week = dt.timedelta(days=7)
    times = ("requested_at", "started_at", "ended_at", "expires_at")
    Export.objects.update(**{name: F(name) - week for name in times})
    assert jobs.tidy() == 2


def look_again(page: Page) -> None:
    """The page does so itself every five seconds, which have just gone by."""
    page.clock.fast_forward(6_000)


def until_seen(page: Page, wanted: Locator) -> None:
    def seen() -> bool:
        look_again(page)
        return wanted.first.is_visible()

    until(seen, str(wanted))


def fetched(page: Page, to: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    path = to / download.value.suggested_filename
    download.value.save_as(path)
    return path


@pytest.mark.own_window
def test_what_the_page_shows_is_what_the_file_holds_until_it_expires(
    signed_in: Callable[..., Page],
    axe: Callable[[Page], list[str]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(SHOWN + OTHERS):
        fate = {"status": "invalid", "reason": "spam"} if number < SHOWN else {}
        message(f"p{number}@example.org", subject=f"No. {number}, of all", **fate)
    page = signed_in("viewer")
    page.clock.install()
    page.goto("/email-status/?status=invalid&size=50")
    shown = shown_rows(page)
    assert len(shown) == SHOWN

    ask_for(page, "CSV")
    page.locator("#results tbody tr", has_text="Waiting").wait_for()
    held, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(writers, "TELL_ROWS", SHOWN // 2)
    monkeypatch.setattr(progress, "TELL_SECONDS", 0.1)
    real = making.Progress.tell

    def wait(self: Any, rows: int) -> None:
        real(self, rows)
        held.set()
        assert go_on.wait(60)

    monkeypatch.setattr(making.Progress, "tell", wait)
    worker = threading.Thread(target=lambda: (jobs.make(), connection.close()))
    worker.start()
    assert held.wait(60)
    running = page.locator("#results tbody tr", has_text="Running")
    until_seen(page, running.locator(f"progress[value='{SHOWN // 2}'][max='{SHOWN}']"))
    go_on.set()
    worker.join(60)
    until_seen(page, page.get_by_role("link", name="Download"))
    assert axe(page) == []
    with fetched(page, folder).open(encoding="utf-8-sig", newline="") as file:
        assert same(shown, written_rows(list(csv.reader(file))))

    ask_for(page, "Excel (.xlsx)")
    assert jobs.make()
    until_seen(page, page.locator("#results tbody tr", has_text="Excel").get_by_role("link", name="Download"))
    book = CalamineWorkbook.from_path(fetched(page, folder))
    assert same(shown, written_rows(book.get_sheet_by_name("Sheet 1").to_python()))

    page.reload()
    link = page.get_by_role("link", name="Download").last.get_attribute("href")
    seven_days_pass()
    page.goto(str(link))
    page.get_by_role("heading", name="This file has expired").wait_for()
    assert axe(page) == []
    assert not list((folder / "done").iterdir())
    page.get_by_role("button", name="Run again").click()
    page.get_by_text("The export runs again").wait_for()
    assert jobs.make()
    assert Export.objects.order_by("-id").values_list("state", "rows")[0] == (State.DONE, SHOWN)
