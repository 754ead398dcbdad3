"""Signing in and out, and what stands open without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client
from django.urls import reverse

from tests.conftest import PASSWORD


def test_every_page_asks_who_has_not_signed_in_to_do_so(db: None, client: Client) -> None:
    answer = client.get("/search/?q=x")
    assert answer.status_code == 302
    assert answer["Location"] == "/sign-in/?next=/search/%3Fq%3Dx"


def test_the_right_password_leads_to_where_one_wanted_to_go(client: Client, person: Callable[[str], Any]) -> None:
    person("viewer")
    answer = client.post("/sign-in/", {"username": "viewer", "password": PASSWORD, "next": "/search/"})
    assert answer["Location"] == "/search/"


def test_a_wrong_password_is_said_and_nothing_more(client: Client, person: Callable[[str], Any]) -> None:
    person("viewer")
    answer = client.post("/sign-in/", {"username": "viewer", "password": "wrong"})
    assert answer.status_code == 200
    assert b'role="alert"' in answer.content


def test_where_nobody_could_sign_in_it_says_how_the_first_administrator_is_made(
    db: None, client: Client, person: Callable[[str], Any]
) -> None:
    assert b"manage.py createsuperuser" in client.get("/sign-in/").content
    person("viewer")
    assert b"createsuperuser" not in client.get("/sign-in/").content


def test_signing_out_needs_a_post(viewer: Client) -> None:
    assert viewer.get("/sign-out/").status_code == 405
    assert viewer.post("/sign-out/")["Location"] == "/sign-in/"
    assert viewer.get("/search/").status_code == 302


def test_health_is_told_to_anyone(db: None, client: Client) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}


def test_a_theme_is_kept_with_the_person(viewer: Client, django_user_model: Any) -> None:
    answer = viewer.post("/theme/", {"theme": "dark", "next": "/search/"})
    assert answer["Location"] == "/search/"
    assert b'data-bs-theme="dark"' in viewer.get("/search/").content
    viewer.post("/theme/", {"theme": "purple"})
    assert django_user_model.objects.get(username="viewer").theme == "dark"


def test_the_theme_form_leads_nowhere_else(viewer: Client) -> None:
    answer = viewer.post("/theme/", {"theme": "dark", "next": "https://evil.example/"})
    assert answer["Location"] == reverse("home")


def test_a_password_can_be_changed(viewer: Client) -> None:
    new = "another long password"
    answer = viewer.post("/password/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
    assert answer["Location"] == "/password/changed/"
    assert viewer.get("/password/changed/").status_code == 200


def test_a_password_that_was_left_empty_is_asked_for(viewer: Client) -> None:
    answer = viewer.post("/password/", {})
    assert b"Enter the new password once more." in answer.content
    assert b"This field is required" not in answer.content


def test_a_list_that_refreshes_after_the_session_has_ended_leads_to_the_sign_in_page(db: None, client: Client) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/search/?q=a"}
    answer = client.get("/search/", headers=headers)
    assert answer.status_code == 204
    assert answer["HX-Redirect"] == "/sign-in/?next=%2Fsearch%2F%3Fq%3Da"
