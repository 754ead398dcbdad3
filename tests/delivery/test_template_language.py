"""The line to unsubscribe that batch mail gets by itself is in the template's language."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest
from django.test import Client
from django.urls import reverse

from console.languages import LANGUAGES
from delivery.engine.compose import Letter
from delivery.engine.store import composer_of
from delivery.models import Template, TemplateVersion
from delivery.services import templates
from delivery.tokens import Tokens
from tests.factories.delivery import TemplateFactory

WORDS = {"en": "Unsubscribe", "ja": "配信を停止する", "pt-br": "Cancelar inscrição", "zh-hans": "退订"}
BODY = "<p>Hello {{name}}</p>"


def version_of(**given: str) -> TemplateVersion:
    version: TemplateVersion = TemplateFactory(**{"source": BODY, **given}).current
    return version


def sent(version: TemplateVersion) -> dict[str, str]:
    """Content type → text of the parts of a batch mail."""
    letter = Letter(
        9, "a@example.com", "b@example.org", "x", values={"name": "Ana"}, public_url="https://t.example", batch=True
    )
    raw = composer_of(version, batch=True, tokens=Tokens({1: b"k" * 32})).compose(letter, 0).as_bytes()
    mail = message_from_bytes(raw, policy=policy.default)
    return {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_batch_mail_says_it_in_the_templates_language(language: str, db: None) -> None:
    parts = sent(version_of(language=language))
    assert f">{WORDS[language]}</a></div>" in parts["text/html"]
    assert f'<div lang="{language}"' in parts["text/html"]
    assert f"{WORDS[language]}: https://t.example/u/" in parts["text/plain"]


def test_a_body_with_a_link_of_its_own_is_left_as_it_is(db: None) -> None:
    parts = sent(version_of(language="ja", source="<p>Hi</p><a href='{{unsubscribe_url}}'>Bye</a>"))
    assert all(WORDS["ja"] not in part for part in parts.values())
    assert parts["text/html"].count("https://t.example/u/") == 1


def test_the_language_is_chosen_on_the_form_and_seen_in_the_preview(operator: Client, administrator: Client) -> None:
    typed = {"name": "Letter", "type": "html", "summary": "", "source": BODY, "language": "ja"}
    administrator.post(reverse("template-new"), typed)
    template = Template.objects.get(name="Letter")
    assert 'value="ja" id="id_language_1" checked' in _tidy(administrator, reverse("template-edit", args=[template.pk]))
    assert template.current is not None
    preview = operator.get(reverse("template-preview", args=[template.current.pk])).content.decode()
    assert WORDS["ja"] in preview
    text = operator.get(reverse("template", args=[template.pk]), {"view": "text"}).content.decode()
    assert f"{WORDS['ja']}: #" in text
    assert "<dt>Line to unsubscribe</dt><dd>日本語</dd>" in text
    refused = administrator.post(reverse("template-edit", args=[template.pk]), {**typed, "language": "xx"})
    assert refused.status_code == 422


def _tidy(client: Client, url: str) -> str:
    """The page, the attributes of its inputs without the classes between them."""
    import re

    return re.sub(r' class="[^"]*"| name="[^"]*"| required| aria-[a-z]+="[^"]*"', "", client.get(url).content.decode())


def test_another_language_is_another_version_and_mail_keeps_its_own(db: None) -> None:
    first = version_of(language="pt-br")
    template = first.template
    given = {"name": template.name, "type": template.type, "summary": "", "source": BODY}
    templates.save_template(**given, language="pt-br", template=template)
    assert template.versions.count() == 1
    changed = templates.save_template(**given, language="zh-hans", template=template).current
    assert changed is not None
    assert changed.number == 2
    assert WORDS["zh-hans"] in sent(changed)["text/plain"]
    assert WORDS["pt-br"] in sent(TemplateVersion.objects.get(pk=first.pk))["text/plain"]
