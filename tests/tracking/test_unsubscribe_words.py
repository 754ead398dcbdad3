"""The account's words and logo on the unsubscribe page: edited by administrators, seen by all, shown to recipients."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.tracking import pictures
from tests.tracking.mail import send
from tracking.models import UnsubscribePage

URL = "/account/unsubscribe-page/"
WORDS = {"heading": "Leave Morrow & Finch?", "before": "We are sorry.\n\nReally.", "after": "Come back <b>soon</b>."}


def save(client: Client, picture: bytes | None = None, **changed: Any) -> Any:
    data: dict[str, Any] = {**WORDS, **changed}
    if picture is not None:
        # The name and the type that a browser tells are not believed.
        data["logo"] = SimpleUploadedFile("logo.svg", picture, content_type="image/svg+xml")
    return client.post(f"{URL}edit/", data)


def shown_to_a_recipient(path: str, method: str = "get") -> str:
    return getattr(Client(), method)(path).content.decode()


def test_the_words_stand_on_the_page_and_are_no_markup(administrator: Client) -> None:
    assert save(administrator).status_code == 302
    sent = send()
    asks = shown_to_a_recipient(sent.unsubscribe)
    assert "Leave Morrow &amp; Finch?" in asks
    assert "<p>We are sorry.</p>" in asks
    assert "Stop these emails?" not in asks
    assert "an•••••@example.com" in asks
    assert "Nothing has changed yet" in asks
    done = shown_to_a_recipient(sent.unsubscribe, "post")
    assert "Come back &lt;b&gt;soon&lt;/b&gt;." in done
    assert "We are sorry" not in done


def test_who_changed_it_is_kept(administrator: Client) -> None:
    save(administrator)
    page = UnsubscribePage.current()
    assert page.changed_by is not None
    assert page.changed_by.username == "administrator"
    assert "administrator" in administrator.get(URL).content.decode()


@pytest.mark.parametrize("picture", [pictures.png(300, 80), pictures.GIF, pictures.JPEG, pictures.WEBP_LOSSY])
def test_a_logo_takes_the_senders_names_place(administrator: Client, picture: bytes) -> None:
    assert save(administrator, picture).status_code == 302
    page = UnsubscribePage.current()
    asks = shown_to_a_recipient(send().unsubscribe)
    assert f'src="/logo/{page.logo_digest}"' in asks
    assert 'alt="Morrow &amp; Finch"' in asks
    answer = Client().get(f"/logo/{page.logo_digest}")
    assert answer.content == picture
    assert answer["Content-Type"] == page.logo_type
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "immutable" in answer["Cache-Control"]


def test_words_are_saved_without_touching_the_logo_and_it_is_taken_away_when_asked(administrator: Client) -> None:
    save(administrator, pictures.PNG)
    digest = UnsubscribePage.current().logo_digest
    save(administrator, heading="Again")
    assert UnsubscribePage.current().logo_digest == digest
    assert Client().get(f"/logo/{digest}").content == pictures.PNG
    save(administrator, remove_logo="on")
    assert UnsubscribePage.current().logo_digest == ""
    assert Client().get(f"/logo/{digest}").status_code == 404
    assert "Morrow &amp; Finch</p>" in shown_to_a_recipient(send().unsubscribe)


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This is no PNG, JPEG, GIF or WebP picture"),
        (pictures.png(2001, 1), "2001 × 1 pixels"),
        (b"\x89PNG" + b"\0" * 300_000, "at most"),
        (b"", "empty"),
    ],
)
def test_what_is_no_logo_is_refused_and_nothing_is_saved(administrator: Client, picture: bytes, said: str) -> None:
    answer = save(administrator, picture)
    assert answer.status_code == 422
    assert said in answer.content.decode().replace("&nbsp;", " ")
    assert not UnsubscribePage.objects.exists()


def test_words_are_bounded(administrator: Client) -> None:
    assert save(administrator, before="x" * 1001).status_code == 422


def test_viewers_and_operators_see_and_change_nothing(viewer: Client, operator: Client) -> None:
    for client in (viewer, operator):
        assert client.get(URL).status_code == 200
        assert f"{URL}edit/" not in client.get(URL).content.decode()
        assert save(client).status_code == 403
    assert not UnsubscribePage.objects.exists()


@pytest.mark.parametrize("state", ["unsubscribe", "unsubscribed", "resubscribed", "nonsense"])
@pytest.mark.parametrize("lang", ["ja", "nonsense"])
def test_the_preview_shows_each_state_in_each_language_in_our_own_frame_alone(
    administrator: Client, state: str, lang: str
) -> None:
    save(administrator)
    assert administrator.get(URL, {"state": state, "lang": lang}).status_code == 200
    answer = administrator.get(f"{URL}preview/", {"state": state, "lang": lang})
    assert answer.status_code == 200
    assert answer["X-Frame-Options"] == "SAMEORIGIN"
    assert "form-action 'none'" in answer["Content-Security-Policy"]
    assert f'<html lang="{"ja" if lang == "ja" else "en"}">' in answer.content.decode()


def test_a_logo_that_there_is_not_is_not_found(db: None, client: Client) -> None:
    assert client.get("/logo/").status_code == 404
    assert client.get(f"/logo/{'a' * 32}").status_code == 404
