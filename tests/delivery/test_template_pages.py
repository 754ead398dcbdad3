"""Email templates: typed or uploaded, versions, previews, and what is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.models import ApiUser
from delivery.models import Message, Task, Template, TemplateVersion
from delivery.services import templates
from tests.factories.delivery import AddressFactory, DomainFactory, TemplateFactory

BODY = "<style>p { color: #123456 }</style>\n<p>Hello {{first_name}}, your code is {{code}}.</p>"


def typed(**changes: Any) -> dict[str, Any]:
    return {"name": "Welcome", "type": "html", "summary": "Hello", "language": "en", "source": BODY, **changes}


def file(content: bytes, name: str = "mail.html") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="text/html")


def test_a_typed_template_is_saved_with_styles_inlined_and_a_text_beside(operator: Client) -> None:
    answer = operator.post(reverse("template-new"), typed(), follow=True)
    version = Template.objects.get(name="Welcome").current
    assert version is not None
    assert (version.number, version.made_by, version.variables) == (1, "operator", ["first_name", "code"])
    assert version.source == BODY
    assert "color: #123456" in version.html.split("<p", 1)[1]
    assert version.text.strip() == "Hello {{first_name}}, your code is {{code}}."
    assert "2 variables found: first_name, code." in answer.content.decode()


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("<p>Grüße {{name}}</p>".encode(), "Grüße"),
        ("\ufeff<p>Grüße {{name}}</p>".encode(), "Grüße"),
        ("<p>こんにちは {{name}}</p>".encode("utf-16"), "こんにちは"),
        ('<meta charset="shift_jis"><p>こんにちは {{name}}</p>'.encode("shift_jis"), "こんにちは"),
        ('<meta charset="iso-8859-1"><p>Grüße {{name}}</p>'.encode("latin-1"), "Grüße"),
    ],
)
def test_an_upload_is_read_in_its_encoding_and_replaces_what_is_typed(
    operator: Client, content: bytes, shown: str
) -> None:
    operator.post(reverse("template-new"), typed(upload=file(content), source="<p>typed</p>"))
    version = TemplateVersion.objects.get()
    assert shown in version.html
    assert shown in version.text
    assert "typed" not in version.html


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\xff", "no text in UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00", "control character"),
        (b"<p>Gr\xfc\xdfe</p>", "no text in UTF-8"),
        (b"<p>" + b"x" * (50 * 2**20) + b"</p>", "The file is 50.0"),
        (b"", "empty"),
        (b"<p>Hi</p>\n<script>alert(1)</script>", "Line 2, column 1: Remove &lt;script&gt;"),
        (b"<p onclick='go()'>Hi</p>", "Line 1, column 4: Remove onclick"),
        (b"<a href='java\tscript:go()'>Hi</a>", "JavaScript"),
        (b"<p>{% for a in b %}</p>", "unknown syntax"),
        (b"<p>Hi {{ name|upper }}</p>", "unknown syntax"),
        (b"<p>Hi {{name</p>", "never closed"),
    ],
)
def test_an_upload_that_cannot_be_sent_is_refused_with_the_place_and_nothing_is_saved(
    operator: Client, content: bytes, said: str
) -> None:
    answer = operator.post(reverse("template-new"), typed(upload=file(content), source=""))
    assert answer.status_code == 422
    assert said in answer.content.decode().replace("\xa0", " ")
    assert not Template.objects.exists()
    assert not TemplateVersion.objects.exists()


def test_javascript_that_is_typed_is_refused_naming_line_and_column(operator: Client) -> None:
    answer = operator.post(reverse("template-new"), typed(source="<p>One</p>\n<p>Two <img onerror=go() src=x></p>"))
    text = answer.content.decode()
    assert answer.status_code == 422
    assert "Line 2, column 13" in text
    assert "&lt;p&gt;Two &lt;img onerror=go() src=x&gt;&lt;/p&gt;" in text
    assert not Template.objects.exists()


def test_the_error_of_a_form_keeps_what_was_typed(operator: Client) -> None:
    TemplateFactory(name="Welcome")
    answer = operator.post(reverse("template-new"), typed())
    assert answer.status_code == 422
    assert "Another template has this name" in answer.content.decode()
    assert "your code is {{code}}" in answer.content.decode()
    assert Template.objects.count() == 1


def test_a_change_makes_a_version_and_no_change_makes_none(operator: Client) -> None:
    operator.post(reverse("template-new"), typed())
    template = Template.objects.get()
    url = reverse("template-edit", args=[template.pk])
    # Browsers send a textarea's lines with CRLF.
    operator.post(url, typed(name="Renamed", source=BODY.replace("\n", "\r\n")))
    assert template.versions.count() == 1
    operator.post(url, typed(name="Renamed", source=BODY + "<p>More</p>"))
    operator.post(url, typed(name="Renamed", source=BODY + "<p>More</p>", summary="Another"))
    template.refresh_from_db()
    assert template.name == "Renamed"
    assert [version.number for version in template.versions.all()] == [3, 2, 1]
    assert template.current is not None
    assert template.current.number == 3
    old = operator.get(reverse("template", args=[template.pk]), {"version": "1", "view": "source"})
    assert "&lt;p&gt;More" not in old.content.decode()
    assert operator.get(reverse("template", args=[template.pk]), {"version": "9"}).status_code == 404


def test_a_plain_text_template_is_sent_as_it_is(operator: Client) -> None:
    operator.post(reverse("template-new"), typed(type="text", source="Hello {{first_name}} <not html>"))
    version = TemplateVersion.objects.get()
    assert (version.html, version.text) == ("", "Hello {{first_name}} <not html>")
    page = operator.get(reverse("template", args=[version.template_id])).content.decode()
    assert "Hello First name &lt;not html&gt;" in page
    preview = operator.get(reverse("template-preview", args=[version.pk]))
    assert preview["Content-Type"].startswith("text/plain")


def test_the_preview_is_filled_escaped_and_locked_in(viewer: Client) -> None:
    template = TemplateFactory(source=BODY)
    version = template.current_id
    answer = viewer.get(reverse("template-preview", args=[version]), {"v-first_name": "<b>Ann</b>"})
    text = answer.content.decode()
    assert "Hello &lt;b&gt;Ann&lt;/b&gt;, your code is Code." in text
    assert "Unsubscribe" in text
    policy = answer["Content-Security-Policy"]
    for part in ("default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "sandbox"):
        assert part in policy
    page = viewer.get(reverse("template", args=[template.pk]), {"v-first_name": "Ann", "view": "phone"})
    assert 'sandbox src="/templates/versions/' in page.content.decode()
    assert "v-first_name=Ann" in page.content.decode()


def test_deleting_puts_it_away_and_frees_its_name(operator: Client) -> None:
    template = TemplateFactory(name="Welcome")
    operator.post(reverse("template-delete", args=[template.pk]))
    template.refresh_from_db()
    assert template.deleted_at is not None
    assert TemplateVersion.objects.filter(template=template).exists()
    assert b"Welcome" not in operator.get(reverse("templates")).content.split(b'id="results"')[1]
    for name in ("template", "template-edit", "template-test"):
        assert operator.get(reverse(name, args=[template.pk])).status_code == 404
    assert operator.post(reverse("template-new"), typed()).status_code == 302


def test_a_template_that_a_task_sends_stays(operator: Client) -> None:
    template = TemplateFactory()
    Task.objects.create(api_user=ApiUser.console("batch"), subject="x", template=template)
    operator.post(reverse("template-delete", args=[template.pk]))
    template.refresh_from_db()
    assert template.deleted_at is None


def test_a_test_is_sent_whatever_the_number_of_variables(operator: Client) -> None:
    address, template = AddressFactory(), TemplateFactory(source=BODY)
    url = reverse("template-test", args=[template.pk])
    sent = {
        "sender_address": address.pk,
        "recipient": "success+me@simulator.test",
        "subject": "Test for {{first_name}}",
        "variables": '{"first_name": "Ann\\nBcc: all@example.com", "code": 7}',
    }
    for wrong in ({"variables": "[1]"}, {"recipient": "nobody"}, {"subject": ""}, {"variables": '{"a": {}}'}):
        assert operator.post(url, {**sent, **wrong}).status_code == 422
    assert not Message.objects.exists()
    operator.post(url, sent)
    message = Message.objects.get()
    assert (message.recipient, message.label) == ("success+me@simulator.test", "test")
    assert message.subject == "Test for Ann Bcc: all@example.com"
    assert message.version_id == template.current_id


def test_a_test_needs_a_verified_domain(operator: Client) -> None:
    address = AddressFactory(domain=DomainFactory())
    with pytest.raises(templates.TemplateRefused, match="not verified"):
        templates.send_test(
            TemplateFactory(), sender_address=address, subject="x", recipient="a@b.example", values={},
            now=timezone.now(),
        )  # fmt: skip
    assert not Message.objects.exists()
