"""The overview, and what the search of the top bar finds."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.models import Account, Heartbeat
from delivery.models import Callback, DomainDay, Folded, HeldBy, LookedAt, SenderDomain, Task, Waiting
from delivery.services import quota
from delivery.services.tasks import create_task, expand
from tests.factories.delivery import AddressFactory, DomainFactory, GroupFactory, TemplateFactory
from tests.factories.queues import pause, queue_with
from tests.factories.sending import message, new_task
from tests.factories.statistics import counted, fold
from tracking.models import FeedbackMail

pytestmark = pytest.mark.django_db


def home(client: Client) -> Any:
    answer = client.get("/")
    assert answer.status_code == 200
    return answer.context


def next_step(client: Client) -> str:
    return next(step.title for step in home(client)["steps"] if step.here)


def test_an_empty_installation_is_led_to_its_first_task(administrator: Client) -> None:
    assert next_step(administrator) == "Create a sender domain"
    domain = DomainFactory()
    assert next_step(administrator) == "Verify it"
    domain.verified_at = timezone.now()
    domain.save()
    assert next_step(administrator) == "Create a sender address"
    AddressFactory(domain=domain)
    assert next_step(administrator) == "Create an email template"
    TemplateFactory()
    assert next_step(administrator) == "Import a recipient group"
    GroupFactory(people=2)
    assert next_step(administrator) == "Send the first task"
    create_task(new_task())
    assert home(administrator)["steps"] == []


def test_a_step_that_was_begun_leads_to_where_it_is_gone_on_with(administrator: Client) -> None:
    def link(title: str) -> str:
        return next(step.link for step in home(administrator)["steps"] if step.title == title)

    assert link("Verify it") == "/domains/"
    assert link("Import a recipient group") == "/groups/new/"
    domain, group = DomainFactory(verified_at=None), GroupFactory(people=0)
    assert link("Verify it") == f"/domains/{domain.pk}/"
    assert link("Import a recipient group") == f"/groups/{group.pk}/import/"


def test_many_domains_that_wait_for_their_records_are_one_line(begun: None, viewer: Client) -> None:
    for n in range(4):
        DomainFactory(name=f"n{n}.example.com", verified_at=None)
    title = "4 sender domains are pending verification"
    (line,) = [each for each in home(viewer)["attention"] if "pending verification" in each.title]
    assert (line.title, line.link) == (title, "/domains/?status=pending")
    assert line.text.startswith("n0.example.com, n1.example.com, n2.example.com and 1 more.")
    assert b"Delete" not in viewer.get("/domains/").content
    assert b">Actions<" not in viewer.get("/domains/").content


def test_a_domain_that_the_next_step_leads_to_stands_on_the_page_once(administrator: Client) -> None:
    DomainFactory(name="other.example.com")
    DomainFactory(name="new.example.com")
    titles = [each.title for each in home(administrator)["attention"]]
    assert "other.example.com is pending verification" in titles
    assert not [title for title in titles if title.startswith("new.")]


def test_a_viewer_is_offered_nothing_that_is_refused(viewer: Client) -> None:
    assert [step.title for step in home(viewer)["steps"] if "new" in step.link] == []


def test_what_needs_attention_is_listed(viewer: Client, settings: Any) -> None:
    settings.FEEDBACK_PORT = 0
    task = create_task(new_task())
    Task.objects.filter(pk=task.pk).update(status="failed", failure="No template.", ended_at=timezone.now())
    DomainFactory(name="lost.example.com", problem="Its DKIM record is gone.")
    DomainFactory(name="new.example.com")
    account = Account.current()
    account.sending_stopped_at = timezone.now()
    account.save()
    assert [each.title for each in home(viewer)["attention"]] == [
        "No delivery worker runs",
        "All sending is stopped",
        "lost.example.com lost its records",
        f"Task {task.pk} failed",
        "new.example.com is pending verification",
    ]


def at_work(*parts: str) -> None:
    for part in parts:
        Heartbeat.objects.create(name=f"{part}@a:1", part=part, beat_at=timezone.now())


def titles(client: Client) -> list[str]:
    return [each.title for each in home(client)["attention"]]


@pytest.fixture
def begun(db: None, settings: Any) -> None:
    """An installation that runs, and is past its first steps; it takes in no mail."""
    settings.FEEDBACK_PORT = 0
    create_task(new_task())
    at_work("deliver", "jobs")


def test_nothing_to_attend_to_is_one_calm_sentence(begun: None, viewer: Client) -> None:
    assert titles(viewer) == []
    assert "Everything is all right" in viewer.get("/").content.decode()


def test_parts_that_are_silent_and_figures_that_stand_still_are_told(begun: None, viewer: Client) -> None:
    Folded.objects.create(at=timezone.now() - dt.timedelta(minutes=12))
    assert titles(viewer) == ["The statistics are 12 min behind"]
    Heartbeat.objects.filter(part="jobs").update(beat_at=timezone.now() - dt.timedelta(minutes=2))
    assert titles(viewer) == ["No worker of the part “jobs” runs"]
    Heartbeat.objects.filter(part="deliver").update(beat_at=timezone.now() - dt.timedelta(minutes=2))
    assert titles(viewer) == ["No delivery worker runs"]


@pytest.mark.parametrize(
    ("complaints", "wanted", "tone"),
    [(0, "", ""), (9, "", ""), (10, "0.10 %", "warn"), (29, "0.29 %", "warn"), (30, "0.30 %", "bad")],
)
def test_complaint_rates_are_held_against_what_gmail_and_yahoo_want(
    complaints: int, wanted: str, tone: str, begun: None, viewer: Client
) -> None:
    of = counted(timezone.now() - dt.timedelta(days=6), requested=9_000, delivered=6_000, complaints=complaints)
    counted(timezone.now(), of=of, requested=4_000, delivered=4_000)
    counted(timezone.now() - dt.timedelta(days=7), of=of, requested=9_000, delivered=9_000, complaints=999)
    fold()
    found = home(viewer)
    domain = SenderDomain.objects.get(pk=of.sender_domain_id)
    assert [(each.title, each.tone) for each in found["attention"]] == (
        [(f"Complaint rate of {domain} is {wanted}", tone)] if wanted else []
    )
    [rule] = found["rules"]
    assert (rule.week.domain, rule.tone) == (domain, tone or "ok")
    if wanted:
        assert f"{complaints} of 10,000 delivered" in found["attention"][0].text


def test_domains_that_went_down_or_are_blocked_are_told(begun: None, viewer: Client) -> None:
    today = quota.local_day(timezone.now())
    yesterday = today - dt.timedelta(days=1)
    fell, blocked, old = (DomainFactory(verified=True, name=f"{name}.example.com") for name in ("fell", "shut", "old"))
    DomainDay.objects.create(domain=fell, day=yesterday, level=5, moved=-1, why="spam")
    DomainDay.objects.create(domain=blocked, day=today, level=3, blocked_at=timezone.now())
    DomainDay.objects.create(domain=old, day=today - dt.timedelta(days=2), level=5, moved=-1, why="spam")
    assert titles(viewer) == ["shut.example.com is blocked for today", "fell.example.com fell to level 4"]


@pytest.mark.parametrize(
    ("cause", "wanted"),
    [
        (HeldBy.CREDITS, "3 mails are held because credits are used up"),
        (HeldBy.DOMAIN_UNVERIFIED, "3 mails are held because its sender domain is not verified"),
        (HeldBy.API_USER, "3 mails are held because its API user is disabled"),
        # These go on by themselves, or are somebody's own doing.
        (HeldBy.QUOTA, ""),
        (HeldBy.WINDOW, ""),
        (HeldBy.TASK_PAUSED, ""),
    ],
)
def test_held_mail_is_counted_by_its_cause_and_told_where_a_person_must_act(
    cause: HeldBy, wanted: str, begun: None, viewer: Client
) -> None:
    queue_with("example.org", held=3)
    Waiting.objects.update(held_by=cause)
    found = home(viewer)
    assert [each.title for each in found["attention"]] == ([wanted] if wanted else [])
    assert (f"Held: {cause.label}", 3) in [(words, count) for words, count, _url in found["states"]]


def test_queues_that_are_paused_are_told_and_loudly_after_two_days(begun: None, viewer: Client) -> None:
    pause(queue_with("slow.example", ready=4), minutes=60 * 50)
    pause(queue_with("now.example", ready=2), minutes=5)
    LookedAt.objects.all().delete()
    found = home(viewer)["attention"]
    assert [(each.tone, each.title) for each in found] == [
        ("bad", "Mail to slow.example has been paused for more than 2 days"),
        ("warn", "Mail to now.example is paused"),
    ]
    assert "4 mails wait." in found[0].text


def test_receivers_that_take_no_callbacks_are_told(begun: None, viewer: Client) -> None:
    Callback.objects.create(url="https://hooks.example/mail", suspended_at=timezone.now())
    assert titles(viewer) == ["Nothing takes callbacks at https://hooks.example/mail"]


def test_returned_mail_that_nobody_reads_is_told(begun: None, viewer: Client, settings: Any) -> None:
    now = timezone.now()
    for number, minutes in enumerate((1, 11, 60)):
        due = now - dt.timedelta(minutes=minutes)
        FeedbackMail.objects.create(digest=bytes([number]) * 32, received_at=due, due=due, raw=b"", size=0)
    assert titles(viewer) == ["2 returned mails are not read yet"]
    settings.FEEDBACK_PORT = 2525
    assert titles(viewer) == ["The mail listener does not run", "2 returned mails are not read yet"]
    at_work("listener")
    FeedbackMail.objects.update(state=FeedbackMail.State.DONE)
    assert titles(viewer) == []


def test_today_and_seven_days_are_counted_by_the_accounts_clock(begun: None, viewer: Client) -> None:
    Account.objects.update(time_zone="Asia/Tokyo")
    zone = Account.current().zone
    noon = timezone.now().astimezone(zone).replace(hour=0, minute=5, second=0, microsecond=0)
    day = dt.timedelta(days=1)
    of = counted(noon, requested=100, delivered=90, invalid=3, spam=1, other=2, unique_opens=45, unique_clicks=9)
    counted(noon - 6 * day, of=of, requested=1000, delivered=900, complaints=1)
    counted(noon - 7 * day, of=of, requested=5000, delivered=5000)
    fold()
    found = {kpi.title: kpi for kpi in home(viewer)["kpis"]}
    assert {title: (kpi.today, kpi.days) for title, kpi in found.items()} == {
        "Requests": (100, 1100),
        "Delivered": (90, 990),
        "Bounced": (6, 6),
        "Complaints": (0, 1),
        "Opened": (45, 45),
        "Clicked": (9, 9),
    }
    assert found["Requests"].under == "4 still on their way"
    assert found["Opened"].under == "50.0 % of delivered"
    assert found["Complaints"].days_under == "0.10 %"
    assert found["Requests"].words.endswith("1000, 0, 0, 0, 0, 0, 100")


def test_what_is_in_line_and_under_way_is_shown(viewer: Client) -> None:
    task = create_task(new_task())
    expand(task.pk, now=timezone.now())
    context = home(viewer)
    assert {words: count for words, count, _url in context["states"]}["Ready to be sent"] == 3
    assert [one.pk for one in context["tasks"]] == [task.pk]


def test_the_number_of_queries_does_not_grow(begun: None, viewer: Client) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            viewer.get("/")
        return len(queries)

    def more(n: int) -> None:
        expand(create_task(new_task()).pk, now=timezone.now())
        counted(timezone.now() - dt.timedelta(days=n % 7), requested=5, delivered=4, complaints=1)
        fold()
        pause(queue_with(f"d{n}.example", ready=1), minutes=60)
        LookedAt.objects.all().delete()

    more(0)
    asked()
    before = asked()
    for n in range(1, 9):
        more(n)
    asked()
    assert asked() <= before


# --- search


def found(client: Client, text: str) -> str:
    return getattr(client.get("/search/", {"q": text}), "url", "")


def test_the_beginning_of_an_address_leads_to_its_mail(viewer: Client) -> None:
    message("ann@example.org")
    url = found(viewer, "ann@exam")
    assert url.startswith("/email-status/?from=")
    assert [row.recipient for row in viewer.get(url).context["table"].data] == ["ann@example.org"]


def test_a_message_id_leads_to_the_message(viewer: Client) -> None:
    made = message()
    assert found(viewer, f" {made.pk} ") == f"/email-status/{made.pk}/"


def test_a_task_number_leads_to_the_task(viewer: Client) -> None:
    task = create_task(new_task())
    assert found(viewer, str(task.pk)) == f"/tasks/{task.pk}/"


def test_part_of_a_name_leads_to_what_is_called_so(viewer: Client) -> None:
    group = GroupFactory(name="Harbour club, 2025")
    assert found(viewer, "harbour CLUB") == f"/groups/{group.pk}/"
    GroupFactory(name="Harbour crew")
    answer = viewer.get("/search/", {"q": "harbour"}).content.decode()
    assert answer.index("Harbour crew") < answer.index("Harbour club")


@pytest.mark.parametrize("text", ["", "nothing", "999999", "9" * 18, "9" * 19, "9" * 300, "١٢٣", "\x00"])
def test_what_is_not_there_is_said(text: str, viewer: Client) -> None:
    answer = viewer.get("/search/", {"q": text})
    assert answer.status_code == 200
