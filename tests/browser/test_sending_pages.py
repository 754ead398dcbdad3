"""Regular mail, recipient groups and batch tasks as an operator meets them: what is refused in which words, and why a
task stands still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from delivery.models import DomainDay, Message, PauseCause, SenderAddress, Task, TaskStatus, Waiting
from delivery.services import quota, tasks, warmup
from delivery.services.counts import end_tasks, move_counts
from suppression.models import Entry
from tests.factories.delivery import AddressFactory, GroupFactory, TemplateFactory
from tests.factories.sending import new_task
from tests.factories.suppression import EntryFactory
from tests.samples.sending import tasks as sample_tasks

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# List → the words on the message, as the specification has them.
STOPPED = {
    Entry.List.SPAM_REPORT: "Blacklist: Spam Report (worker:address in complaint list)",
    Entry.List.BLOCK: "Blacklist: Custom Block (worker:address in block list)",
    Entry.List.BOUNCE: "Blacklist: Bounce (worker:address in bounce list)",
    Entry.List.UNSUBSCRIPTION: "unsubscribe",
}
FILE = "email,name\nann@example.org,Ann\nnobody,Bo\nann@EXAMPLE.org,Anna\n,Cid\n"


def said(page: Page, *texts: str) -> None:
    """On the page as it is now."""
    shown = page.locator("main").inner_text()
    for text in texts:
        assert text in shown, (text, shown)


def test_regular_mail_is_checked_at_once_and_leaves_the_suppressed_out(signed_in: Callable[..., Page]) -> None:
    sender: SenderAddress = AddressFactory()
    one, two = TemplateFactory(source="<p>Hello {{name}}</p>"), TemplateFactory(source="<p>{{name}} {{shop}}</p>")
    for which in STOPPED:
        EntryFactory(key=f"{which}@example.org", list=which)
    page = signed_in("operator")
    page.goto("/regular/")
    choices = " ".join(page.get_by_label("Template").locator("option").all_inner_texts())
    assert (one.name in choices, two.name in choices) == (True, False), "one variable at most"
    page.get_by_label("Subject").fill("Your order, {{name}}")
    page.get_by_label("Template").select_option(value=str(one.pk))
    page.get_by_label("From").select_option(value=str(sender.pk))

    def sent_to(people: list[str], variables: str = '{"name": "Ann"}') -> None:
        page.get_by_label("Recipients").fill("\n".join(people))
        page.get_by_label("Variables").fill(variables)
        with page.expect_navigation():
            page.get_by_role("button", name="Send", exact=True).click()

    sent_to([f"p{n}@example.org" for n in range(21)])
    said(page, "21 recipients. A regular mail takes at most 20")
    sent_to(["ann@example.org"], "{name: Ann}")
    said(page, "JSON")
    sent_to(["ann@example.org"], "{}")
    said(page, "There is no value for: name.")
    today = DomainDay.objects.create(domain=sender.domain, day=quota.local_day(timezone.now()), level=1)
    DomainDay.objects.update(attempted=warmup.cap(1))
    sent_to(["ann@example.org"])
    said(page, f"The daily quota of {sender.domain} is used up.")
    assert not Message.objects.exists(), "an error, at once"
    today.delete()
    sent_to(["ann@example.org", "bea@example.org", *(f"{which}@example.org" for which in STOPPED)])
    page.get_by_role("heading", name="6 recipients").wait_for()
    assert page.locator("#sent tbody tr", has_text="Invalid").count() == len(STOPPED)
    for which, words in STOPPED.items():
        page.goto(f"/email-status/{Message.objects.get(recipient=f'{which}@example.org').pk}/")
        said(page, words)
    page.goto(f"/email-status/{Message.objects.get(recipient='ann@example.org').pk}/mail/")
    said(page, "ann@example.org, bea@example.org\n", "Your order, Ann")
    # A test of a template, with values of one's own.
    page.goto(f"/templates/{two.pk}/test/")
    page.get_by_label("From").select_option(value=str(sender.pk))
    page.get_by_label("To", exact=True).fill("me@example.org")
    page.get_by_label("Variables").fill('{"name": "Ann", "shop": "ours"}')
    page.get_by_role("button", name="Send test").click()
    page.get_by_text("The test to me@example.org is requested.").wait_for()
    assert Message.objects.get(recipient="me@example.org").version_id == two.current_id


def test_a_group_takes_what_is_right_of_a_file_and_lists_the_rest(
    signed_in: Callable[..., Page], tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text(FILE)
    page = signed_in("operator")
    page.goto("/groups/new/")
    with page.expect_download() as sample:
        page.get_by_role("link", name="Sample CSV").click()
    assert sample.value.path().read_text("utf-8-sig").startswith("email,name")
    page.get_by_label("Name", exact=True).fill("Readers")
    page.get_by_label("Description").fill("All who asked for it")
    page.locator("input[type=file]").set_input_files(tmp_path / "people.csv")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="Result of the import").wait_for()
    figures = page.get_by_label("Figures").inner_text().split()
    assert figures == ["Total", "4", "Valid", "1", "Repeated", "1", "Malformed", "2"]
    assert page.locator("main tbody tr").first.inner_text().split()[:2] == ["3", "nobody"]
    said(page, "There is no @.")
    with page.expect_download() as malformed:
        page.get_by_role("link", name="Download malformed rows").click()
    assert malformed.value.path().read_text("utf-8-sig").splitlines()[0] == "line,value,reason"
    page.goto("/groups/")
    row = page.locator("#results tbody tr").inner_text().split()
    assert row[:6] == ["Readers", "All", "who", "asked", "for", "it"]
    assert row[6] == "1"
    page.get_by_role("link", name="Readers").click()
    said(page, "name = Anna")  # the later row's
    # Not edited row by row.
    assert not page.locator("main tbody input, main tbody button").count()


def ended_with_soft_bounces() -> Task:
    task = tasks.create_task(new_task(group=GroupFactory(people=3), subject="Ended"))
    tasks.expand(task.pk, now=timezone.now())
    Waiting.objects.filter(task_id=task.pk).delete()
    Message.objects.filter(task=task).update(status="soft_bounce", reason="other")
    move_counts([(task.pk, "sending", -3), (task.pk, "soft_bounce", 3)])
    end_tasks([task.pk], now=timezone.now())
    return task


# Cause → what stands under the bar, and on the task's page.
PAUSES = {
    PauseCause.OPERATOR: "by an operator",
    PauseCause.QUOTA: "daily quota reached",
    PauseCause.CREDITS: "credits used up",
    PauseCause.DOMAIN: "sender domain blocked or not verified",
    PauseCause.ACCOUNT: "sending stopped for the account",
}


def test_tasks_say_what_they_lack_why_they_stand_still_and_are_sent_again(signed_in: Callable[..., Page]) -> None:
    group, sender = GroupFactory(people=3), AddressFactory()
    template = TemplateFactory(source="<p>{{name}}, {{shop}} and {{town}}</p>")
    page = signed_in("operator")
    page.goto("/tasks/new/")
    page.get_by_label("Subject").fill("News for {{name}}")
    for label, value in (("Template", template), ("From", sender), ("Recipient group", group)):
        page.get_by_label(label, exact=True).select_option(value=str(value.pk))
    page.get_by_label("Default variables").fill('{"shop": "ours"}')
    page.get_by_label("Control group").fill("51")
    page.get_by_role("button", name="Check and go on").click()
    page.get_by_role("alert").first.wait_for()
    said(page, "50")
    page.get_by_label("Control group").fill("50")
    page.get_by_role("button", name="Check and go on").click()
    page.locator("main .invalid-feedback", has_text="town").first.wait_for()
    assert "shop" not in page.locator("main .invalid-feedback").first.inner_text()
    assert not Task.objects.exists(), "checked before anything is made"

    sample_tasks(2)  # a series and a batch
    for cause in PAUSES:
        made = tasks.create_task(new_task(subject=cause.value, group=group, sender_address=sender))
        Task.objects.filter(pk=made.pk).update(status=TaskStatus.PAUSED, pause_cause=cause)
    failed = tasks.create_task(new_task(subject="Failed", group=group, sender_address=sender))
    Task.objects.filter(pk=failed.pk).update(status=TaskStatus.FAILED, failure="The group was deleted.")
    ended = ended_with_soft_bounces()
    page.goto("/tasks/")
    lines = page.locator("#results tbody tr")
    for words in PAUSES.values():
        lines.filter(has_text=words).first.wait_for()
    lines.filter(has_text="Failed").filter(has_text="The group was deleted.").wait_for()
    assert lines.get_by_role("progressbar").count() == lines.count() == 9
    assert f"{ended.template_id} {ended.template_name}" in lines.filter(has_text="Ended").inner_text()
    # An operator's pause, and its end.
    page.goto(f"/tasks/{Task.objects.get(type=Task.Type.BATCH, status=TaskStatus.WAITING).pk}/")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Paused by operator.").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.locator("#task .ph-st", has_text="Waiting").wait_for()
    page.goto("/tasks/")
    page.get_by_role("link", name="Recurring", exact=True).click()
    page.wait_for_url("**type=recurring**")
    assert lines.count() == 1
    lines.get_by_role("link").first.click()
    page.locator("section[aria-labelledby=ru] tbody tr").first.wait_for()  # a child for each run
    page.goto(f"/tasks/{Task.objects.get(subject=PauseCause.QUOTA.value).pk}/")
    said(page, "Paused: daily quota reached. It goes on by itself when that ends, or when an operator resumes it.")
    page.goto(f"/tasks/{ended.pk}/")
    page.get_by_role("link", name="Send again…").click()
    page.get_by_role("heading", name=f"Send task {ended.pk} again").wait_for()
    said(page, "A new task is made over the 3 mails that failed softly")
    page.locator("form.card-body button").first.click()
    page.get_by_text(f"the soft failures of task {ended.pk}").wait_for()
    assert Task.objects.latest("pk").again_of_id == ended.pk
