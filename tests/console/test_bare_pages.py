"""Pages that are answered before anybody asks who is there."""

from __future__ import annotations

from typing import Any

from django.test import Client

from console import registry
from console.middleware import POLICY
from tests.tracking.mail import send


def test_a_bare_page_asks_for_no_session(viewer: Client, django_assert_num_queries: Any) -> None:
    # No token of ours: nothing but the way there is asked.
    with django_assert_num_queries(0):
        answer = viewer.get("/o/nothing.gif")
    assert answer.status_code == 404
    assert "Vary" not in answer
    assert not answer.cookies


def test_a_bare_page_looks_the_same_under_every_name(db: None, client: Client) -> None:
    assert client.get(send().open, headers={"host": "links.customer.example"}).status_code == 200


def test_its_answers_are_as_safe_as_any(db: None, client: Client) -> None:
    sent = send()
    for path in (sent.open, sent.click(2), "/c/forged"):
        answer = client.get(path)
        assert answer["Content-Security-Policy"] == POLICY
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Length"] == str(len(answer.content))
        assert not answer.cookies


def test_a_head_gets_the_headers_alone(db: None, client: Client) -> None:
    path = send().open
    whole, head = client.get(path), client.head(path)
    assert head.content == b""
    assert head["Content-Length"] == whole["Content-Length"] == str(len(whole.content))


def test_what_only_looks_like_one_goes_the_usual_way(client: Client, db: None) -> None:
    for path in ("/o/", "/o/a/b.gif", "/c", "/ox/y.gif"):
        assert client.get(path).status_code in (301, 302, 404)


def test_bare_pages_are_public_and_begin_with_a_segment_of_their_own() -> None:
    bare = [page for page in registry.pages().values() if page.bare]
    firsts = [page.route.partition("/")[0] for page in registry.pages().values()]
    assert {"click", "open-image"} <= {page.name for page in bare}
    for page in bare:
        assert page.public
        assert firsts.count(page.route.partition("/")[0]) == 1
