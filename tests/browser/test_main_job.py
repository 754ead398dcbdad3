"""The main job as a newcomer does it, by mouse and keyboard: from an empty machine to every recipient's fate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.console import PASSWORD, USER, Console, console

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser
DOMAIN = "news.harbour.test"
# Every wait is for something that comes; only a machine that hangs needs so long.
PATIENCE_MS = 60_000

TEMPLATE = """<!doctype html>
<html lang="en"><head><title>The boat is back</title><style>p { color: #232c37 }</style></head>
<body><h1>{{first_name}}, the boat is back</h1>
<p>Take your ticket at <a href="https://harbour.example/t?for={{ticket}}">the harbour</a>.</p>
<p><a href="{{unsubscribe_url}}">Unsubscribe</a></p></body></html>
"""
GONE = "bounce+ann@simulator.test"
READER = "success+taro@simulator.test"
RECIPIENTS = f"""email,first_name,ticket
{GONE},Ann,A-1
{READER},太郎,A-2
success+zoe@simulator.test,"Zoë, from Berlin",A-3
spam+kemi@simulator.test,Kemi,A-4
deferred+noor@simulator.test,Noor,A-5
nobody-at-all,Nobody,A-6
"""


@pytest.fixture
def running(browser: Browser) -> Iterator[Console]:
    """Depends on the browser first: where there is none, nothing is started."""
    with console() as it:
        yield it


@pytest.fixture
def desk(browser: Browser, running: Console) -> Iterator[Page]:
    """A page at 1280 px. Nothing may appear in its console: no error, no warning, no broken rule of the CSP."""
    context = browser.new_context(base_url=running.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    faults: list[str] = []
    context.on("weberror", lambda error: faults.append(f"error: {error.error}"))
    context.on("console", lambda line: faults.append(line.text) if line.type in ("error", "warning") else None)
    context.on("response", lambda it: faults.append(f"{it.status} {it.url}") if it.status > 399 else None)
    page = context.new_page()
    yield page
    context.close()
    assert not faults


def test_from_an_empty_machine_to_every_recipients_fate(
    desk: Page, running: Console, axe: Callable[[Page], list[str]], tmp_path: Path
) -> None:
    sign_in(desk)
    verify_a_domain(desk)
    assert axe(desk) == []
    make_an_address(desk)
    upload_a_template(desk, tmp_path)
    import_a_group(desk, tmp_path)
    assert axe(desk) == []
    send_to_the_group(desk, axe)
    watch_it_end(desk)
    assert axe(desk) == []
    find_the_server_s_words(desk, axe)
    unsubscribe_on_a_phone(desk, running, axe)


def sign_in(page: Page) -> None:
    page.goto("/")
    field(page, "Username").click()
    page.keyboard.type(USER)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()


def field(page: Page, label: str) -> Locator:
    """The control of this label; cards and regions have labels too."""
    return page.get_by_label(label).and_(page.locator("input, textarea, select"))


def menu(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", level=1, name=name).wait_for()


def verify_a_domain(page: Page) -> None:
    menu(page, "Sender domains")
    page.get_by_role("link", name="Create sender domain").first.click()
    field(page, "Domain").fill(DOMAIN)
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name=DOMAIN).wait_for()
    page.get_by_text("Pending verification").wait_for()
    page.get_by_role("button", name="Publish in the simulator's DNS").click()
    page.get_by_role("button", name="Verify now").click()
    page.get_by_text(f"{DOMAIN} is verified.").wait_for()
    page.get_by_text("All needed ones match").wait_for()


def make_an_address(page: Page) -> None:
    page.get_by_role("link", name="Create sender address").click()
    field(page, "Sender name").press_sequentially("Harbour, Ltd.")
    field(page, "Prefix").press_sequentially("boats")
    page.locator("#preview").get_by_text(f"<boats@{DOMAIN}>").wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("link", name=f"boats@{DOMAIN}").wait_for()


def choose_file(page: Page, label: str, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        field(page, label).click()
    chooser.value.set_files(path)


def upload_a_template(page: Page, folder: Path) -> None:
    (folder / "boat.html").write_text(TEMPLATE)
    menu(page, "Email templates")
    page.get_by_role("link", name="Create email template").first.click()
    field(page, "Name").fill("The boat")
    field(page, "Summary").fill("Tickets at the harbour.")
    choose_file(page, "Upload the body", folder / "boat.html")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", level=1, name="The boat").wait_for()
    page.get_by_text("2 variables found: first_name, ticket.").wait_for()
    field(page, "first_name").fill("Wei")
    page.keyboard.press("Enter")
    page.frame_locator("iframe").get_by_role("heading", name="Wei, the boat is back").wait_for()


def import_a_group(page: Page, folder: Path) -> None:
    (folder / "people.csv").write_text(RECIPIENTS)
    menu(page, "Recipient groups")
    page.get_by_role("link", name="Create recipient group").first.click()
    field(page, "Name").fill("Passengers")
    choose_file(page, "File", folder / "people.csv")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="Result of the import").wait_for()
    page.get_by_text("nobody-at-all").wait_for()
    page.get_by_role("link", name="To the group").click()
    page.get_by_text("5 recipients").wait_for()


def send_to_the_group(page: Page, axe: Callable[[Page], list[str]]) -> None:
    menu(page, "Batch tasks")
    page.get_by_role("link", name="Create sending task").first.click()
    field(page, "Subject").fill("{{first_name}}, the boat is back")
    # As a keyboard does it: the first letters of what one wants.
    for label, first_letters in (("Template", "1 The"), ("From", "Harbour"), ("Recipient group", "Pass")):
        page.get_by_role("combobox", name=label, exact=True).focus()
        page.keyboard.type(first_letters)
        page.keyboard.press("Tab")
    page.get_by_role("region", name="How many").get_by_text("Mails at most").wait_for()
    page.get_by_role("region", name="Variables").get_by_text("first_name").wait_for()
    page.get_by_role("button", name="Check and go on").click()
    page.get_by_role("heading", name="Send to 5 recipients?").wait_for()
    assert axe(page) == []
    page.get_by_role("button", name="Send to 5 recipients").click()


def watch_it_end(page: Page) -> None:
    """Nothing is pressed: the page moves by itself."""
    progress = page.get_by_role("region", name="Progress")
    progress.get_by_text("of 5 in a final status").wait_for()
    progress.get_by_text("Done").wait_for()
    bar = progress.get_by_role("progressbar")
    assert bar.get_attribute("value") == bar.get_attribute("max") == "5"
    assert "60.0 % delivered" in progress.inner_text()


def find_the_server_s_words(page: Page, axe: Callable[[Page], list[str]]) -> None:
    menu(page, "Email status")
    assert page.locator("h2#found").inner_text() == "5 emails"
    page.locator("summary[aria-labelledby*=l-status]").click()
    page.get_by_role("checkbox", name="Invalid").check()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Search").click()
    page.locator("h2#found", has_text="2 emails").wait_for()
    assert "status=invalid" in page.url
    assert axe(page) == []
    page.locator(f"a:has([title='{GONE}'])").click()
    page.get_by_text("Invalid · not exist").wait_for()
    words = f"550 5.1.1 <{GONE}>: Recipient address rejected: user unknown"
    page.get_by_role("region", name="What happened").get_by_text(words).first.wait_for()
    assert axe(page) == []


def unsubscribe_on_a_phone(page: Page, running: Console, axe: Callable[[Page], list[str]]) -> None:
    """The recipient's side: from the header of the mail as the recipient's server got it."""
    mail = running.mail_to(READER)
    found = re.search(r"List-Unsubscribe:\s+<(\S+)>", mail)
    assert found is not None, mail
    page.set_viewport_size({"width": 390, "height": 844})
    page.context.clear_cookies()
    page.goto(found[1])
    assert axe(page) == []
    page.get_by_role("button", name="Unsubscribe").click()
    page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    sign_in(page)
    page.goto("/unsubscriptions/")
    page.get_by_text(READER).wait_for()
