"""The skeleton of every page, its policy, its errors, and the assets that it names."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone

from console import middleware, urls
from console.models import Account, Heartbeat
from console.views import sandboxed

ICONS = set(re.findall(r'<symbol id="([\w-]+)"', (settings.BASE_DIR / "static/vendor/icons.svg").read_text()))


def breaks(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("as the test wants it")


urlpatterns = [*urls.urlpatterns, path("breaks/", breaks)]
handler500 = urls.handler500


def test_the_policy_is_strict_and_a_mail_has_its_own(viewer: Client) -> None:
    assert viewer.get("/search/")["Content-Security-Policy"] == middleware.POLICY
    assert "unsafe" not in middleware.POLICY
    mail = middleware.ContentSecurityPolicy(lambda request: sandboxed("<p>"))(RequestFactory().get("/"))
    assert mail["Content-Security-Policy"].startswith("default-src 'none'")
    assert mail["Content-Security-Policy"].endswith("sandbox")


def test_errors_keep_the_policy_too(viewer: Client, client: Client) -> None:
    for who in (viewer, client):
        answer = who.get("/there/is/nothing/")
        assert answer.status_code == 404
        assert b"There is no such page" in answer.content
        assert answer["Content-Security-Policy"] == middleware.POLICY


@pytest.mark.urls(__name__)
def test_a_page_that_breaks_says_so_with_a_number_that_is_in_the_log(viewer: Client) -> None:
    viewer.raise_request_exception = False
    answer = viewer.get("/breaks/")
    assert answer.status_code == 500
    assert re.search(rb'ph-mono">[0-9a-f]{8}<', answer.content)
    assert b"as the test wants it" not in answer.content


def test_what_is_refused_is_one_line_in_the_log(viewer: Client) -> None:
    written = io.StringIO()
    ours = next(each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler)
    before = ours.setStream(written)
    try:
        assert viewer.get("/account/edit/").status_code == 403
    finally:
        ours.setStream(before)
    assert "/account/edit/" in written.getvalue()
    assert len(written.getvalue().splitlines()) == 1
    assert "Traceback" not in written.getvalue()


def test_a_form_without_its_token_gets_a_page_that_says_what_to_do() -> None:
    answer = Client(enforce_csrf_checks=True).post("/sign-in/", {"username": "x", "password": "y"})
    assert answer.status_code == 403
    assert b"open for too long" in answer.content


def test_stopped_sending_is_loud_on_every_page(viewer: Client) -> None:
    assert b"All sending is stopped" not in viewer.get("/search/").content
    account = Account.current()
    account.sending_stopped_at, account.sending_stopped_by = timezone.now(), "Mio"
    account.save()
    assert b"All sending is stopped" in viewer.get("/search/").content
    assert b"All sending is stopped" in viewer.get("/password/").content


def test_the_foot_of_the_menu_counts_the_workers_alive(viewer: Client) -> None:
    assert b"No worker runs" in viewer.get("/search/").content
    for number in range(2):
        Heartbeat.objects.create(name=f"deliver@h:{number}", part="deliver", beat_at=timezone.now())
    assert b"2 workers" in viewer.get("/search/").content


def test_times_are_in_the_accounts_zone(viewer: Client) -> None:
    Account.objects.update_or_create(pk=1, defaults={"time_zone": "Asia/Tokyo"})
    assert b"Tokyo <time" in viewer.get("/search/").content
    text = engines["django"].from_string("{% when moment %}").render({"moment": timezone.now()})
    assert "UTC" in text


def test_a_search_that_finds_nothing_says_what_can_be_found(viewer: Client) -> None:
    answer = viewer.get("/search/", {"q": "  <b>nobody\x00  "})
    assert "Nothing found for “&lt;b&gt;nobody”" in answer.content.decode()


def test_every_icon_that_is_named_is_in_the_sprite() -> None:
    named: dict[str, str] = {}
    for file in [*settings.BASE_DIR.glob("templates/**/*.html"), *settings.BASE_DIR.glob("[cdst]*/**/*.py")]:
        if "tests" in file.parts:
            continue
        text = file.read_text()
        found = re.findall(r'{% icon "([\w-]+)"', text) + re.findall(r'\bicon="([\w-]+)"', text)
        found += re.findall(r'Badge\("\w+", "([\w-]+)"', text) + re.findall(r'{% empty "([\w-]+)"', text)
        named.update({name: str(file) for name in found})
    assert {name: file for name, file in named.items() if name not in ICONS} == {}


def test_every_static_file_that_a_template_names_exists() -> None:
    for file in settings.BASE_DIR.glob("templates/**/*.html"):
        for name in re.findall(r"{% static '([^']+)'", file.read_text()):
            assert finders.find(name), f"{file}: {name}"


def test_styles_and_scripts_name_no_file_that_is_missing() -> None:
    """The hashed storage of production refuses to start on one."""
    root = settings.BASE_DIR / "static"
    for file in root.glob("**/*.css"):
        text = file.read_text()
        assert "sourceMappingURL" not in text
        for name in re.findall(r"url\([\"']?(?!data:|#)([^\"')]+)", text):
            assert (file.parent / name).exists(), f"{file}: {name}"
    for file in root.glob("**/*.js"):
        assert "sourceMappingURL" not in file.read_text()


def test_vendored_files_have_their_licences() -> None:
    vendor = settings.BASE_DIR / "static/vendor"
    for folder in filter(Path.is_dir, vendor.iterdir()):
        assert (folder / "LICENSE").exists(), folder
    assert (vendor / "icons.LICENSE").exists()
