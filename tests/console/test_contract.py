"""What holds for every registered page, now and later: a page that is added is tested here by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console import registry, roles
from console.lists import ListPage, lists
from console.menu import Section
from console.registry import Page
from tests import samples

samples.load()
PAGES = sorted(registry.pages().values(), key=lambda page: page.name)
LISTS = sorted(lists().values(), key=lambda page: page.name)
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
by_list = pytest.mark.parametrize("page", LISTS, ids=lambda page: page.name)


@pytest.fixture(autouse=True)
def nobody_waits(settings: Any) -> None:
    """No DNS server is there; what a page does with what it hears is tested elsewhere."""
    settings.DNS_TIMEOUT = 0.1


def url_of(page: Page) -> str:
    if "<" not in page.route:
        return reverse(page.name)
    assert page.name in samples.KWARGS, f"Say in tests/samples/ what the URL of {page.name!r} needs: {page.route}"
    return reverse(page.name, kwargs=samples.KWARGS[page.name]())


def ask(client: Client, page: Page, url: str) -> int:
    if "GET" in page.methods:
        return client.get(url).status_code
    # Asked without a token of CSRF protection, which Client leaves out: only the way in is looked at.
    return client.post(url).status_code


@by_page
def test_who_has_not_signed_in_is_sent_to_do_so_and_each_role_sees_what_it_may(
    page: Page, person: Callable[[str], Any], client: Client
) -> None:
    url = url_of(page)
    answer = client.get(url) if "GET" in page.methods else client.post(url)
    if page.public:
        assert answer.status_code < 500
        assert not answer.get("Location", "").startswith("/sign-in/")
    else:
        assert answer.status_code == 302
        assert answer["Location"].startswith("/sign-in/?next=")
    for role in roles.ROLES:
        client.force_login(person(role))
        # What is only posted to may have done its work when the role before was let in.
        status = ask(client, page, url if "GET" in page.methods else url_of(page))
        allowed = page.public or not page.permission or roles.includes(role, page.permission)
        if allowed:
            # 302: an action that leads back; 404 and 405 would be a fault of the sample, 422 a form sent empty.
            assert status in (200, 302, 422), f"{status} for {role}"
        else:
            assert status == 403, f"{status} for {role}"


@by_page
def test_an_answer_has_one_heading_and_a_policy_without_inline_scripts_and_other_methods_are_refused(
    page: Page, person: Callable[[str], Any], administrator: Client
) -> None:
    if page.permission:
        assert person("administrator").has_perm(page.permission), "a permission that does not exist"
    url = url_of(page)
    answer = administrator.get(url)
    policy = answer["Content-Security-Policy"]
    assert "default-src" in policy
    assert "unsafe-eval" not in policy
    for part in policy.split(";"):
        if part.strip().startswith(("default-src", "script-src")):
            assert "unsafe-inline" not in part
    if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
        text = answer.content.decode()
        if "unsafe-inline" not in policy:
            assert "<style" not in text
            assert re.findall(r"<[a-z][^<>]*\s(?:style|on[a-z]+)\s*=[^<>]*>", text) == []
            assert re.findall(r"<a [^<>]*javascript:[^<>]*>", text) == []
        if "ph-main" in text:
            assert text.count("<h1") == 1
            assert "<title> –" not in text
    if not page.public:
        assert administrator.put(url).status_code == 405
        if "POST" not in page.methods:
            assert administrator.post(url).status_code == 405
            return
        elsewhere = Client(enforce_csrf_checks=True)
        elsewhere.cookies = administrator.cookies
        assert elsewhere.post(url).status_code == 403, "a form of another site was taken"
        if "form" in (answer.context or {}):
            it_says_at_its_fields_what_it_lacks(administrator.post(url))


def it_says_at_its_fields_what_it_lacks(answer: Any) -> None:
    """A form that was sent empty; or all of it may be left out."""
    if answer.status_code == 302:
        return
    form, text = answer.context["form"], answer.content.decode()
    assert answer.status_code == 422
    assert form.is_bound and form.errors
    for name in form.errors:
        if name not in form.fields:
            assert 'id="errors"' in text
        # Some are drawn only where there is something to choose from.
        elif f'name="{form[name].html_name}"' in text:
            assert f'id="{form[name].auto_id}_error"' in text, name


# With a form beside what everybody sees, for those who may; and what one asks for oneself.
OPEN_TO_VIEWERS = {"plan", "simulator", "export-new", "export-again", "export-cancel"}


@by_page
def test_what_changes_something_asks_for_more_than_a_viewer_has(page: Page) -> None:
    if "POST" in page.methods and not page.public and page.name not in OPEN_TO_VIEWERS:
        assert page.permission and not roles.includes(roles.VIEWER, page.permission)


@by_page
def test_what_leads_to_a_menu_entry_names_one_that_exists(page: Page) -> None:
    assert page.section is None or isinstance(page.section, Section)
    if page.parent:
        assert registry.pages()[page.parent].section is not None
    if page.section is not None:
        assert "<" not in page.route


def test_menu_entries_have_names_of_their_own() -> None:
    titles = [str(page.menu_title or page.title) for page in PAGES if page.section is not None]
    assert len(titles) == len(set(titles))


@by_list
def test_headers_are_unique(page: ListPage) -> None:
    headers = page.table.headers()
    assert len(headers) == len(set(headers))


@by_list
def test_the_number_of_queries_does_not_grow_with_the_rows(page: ListPage, administrator: Client) -> None:
    assert page.name in samples.ROWS, f"Say in tests/samples/ how rows of the list {page.name!r} are made."
    counts = []
    # Which is also what makes the account's row.
    assert administrator.get(page.url()).content.count(b"btn-primary") <= 1, "one loud button a page"
    for size in (3, 12):
        samples.ROWS[page.name](size)
        with CaptureQueriesContext(connection) as queries:
            answer = administrator.get(page.url(), {"size": 100})
        assert len(answer.context["table"].rows) >= size
        counts.append([query["sql"] for query in queries])
    assert len(counts[0]) == len(counts[1]), "\n".join(sql for sql in counts[1] if sql not in counts[0])


@by_list
def test_thirty_days_are_accepted_and_thirty_one_refused(page: ListPage, administrator: Client) -> None:
    if not page.window:
        return
    assert administrator.get(page.url(), {"from": "2026-10-01", "to": "2026-10-30"}).context["listing"].valid
    refused = administrator.get(page.url(), {"from": "2026-10-01", "to": "2026-10-31"})
    assert refused.status_code == 200
    assert not refused.context["listing"].valid
    assert b"31 days" in refused.content


NONSENSE = ("x", "-1", "9" * 30, "\x00", "' OR 1=1 --", "1e9", "%", "２０")


def part(name: str) -> dict[str, str]:
    """Asks as the scripts do for a part of a list, without what stands around it on every page."""
    return {"HX-Request": "true", "HX-Target": name}


@by_list
def test_no_filter_breaks_on_nonsense(page: ListPage, administrator: Client) -> None:
    parameters = [*page.filters.base_filters, "from", "to", "page", "size", "sort", "live"]
    for nonsense in NONSENSE:
        everywhere = administrator.get(page.url(), dict.fromkeys(parameters, nonsense), headers=part("list"))
        assert everywhere.status_code == 200, nonsense
        # Each by itself, so that what is nonsense for others does not keep it from being searched for.
        for name in page.filters.base_filters:
            found = administrator.get(page.url(), {name: nonsense}, headers=part("total"))
            assert found.status_code == 200, f"{name}={nonsense}"


@by_list
def test_every_head_that_sorts_sorts_both_ways(page: ListPage, administrator: Client) -> None:
    if page.name in samples.ROWS:
        samples.ROWS[page.name](3)
    for name in page.table.sortable():
        for sort in (name, f"-{name}"):
            answer = administrator.get(page.url(), {"sort": sort}, headers=part("results"))
            assert answer.status_code == 200
            assert answer.context["listing"].sort == sort


@by_list
def test_bulk_actions_change_nothing_when_asked_by_get(page: ListPage, administrator: Client) -> None:
    if not page.actions or page.name not in samples.ROWS:
        return
    samples.ROWS[page.name](3)
    everything = {"all": "1", "step": "2"}
    before = administrator.get(page.url()).context["total"].count
    for action in page.actions:
        if not action.all_matching:
            # Of selected rows only: nothing is asked, and nothing done.
            assert administrator.post(f"{page.url()}{action.name}/", everything).status_code == 302
            continue
        assert administrator.get(f"{page.url()}{action.name}/", everything).status_code == 200
        assert administrator.post(f"{page.url()}{action.name}/", {**everything, "count": "99999"}).status_code == 422
    assert administrator.get(page.url()).context["total"].count == before
