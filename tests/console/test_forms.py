"""Forms in the look: what stands beside a field, and the fields that Django lacks."""

from __future__ import annotations

import re

import pytest
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.template import engines

from console.forms import JsonObjectField, UploadField


class Form(forms.Form):
    subject = forms.CharField(label="Subject", help_text="May hold variables.", max_length=5)
    label = forms.CharField(label="Label", required=False)
    file = UploadField(label="File", max_bytes=100, required=False, accept=".csv")
    defaults = JsonObjectField(label="Defaults", required=False)
    agreed = forms.BooleanField(label="Agreed", required=False)
    kind = forms.ChoiceField(label="Kind", choices=[("a", "A")], widget=forms.RadioSelect, required=False)


def draw(form: forms.Form) -> str:
    text = "{% form_errors form %}{% for one in form %}{% field one %}{% endfor %}"
    return str(engines["django"].from_string(text).render({"form": form}))


def test_an_error_stands_beside_its_field_and_in_the_list_on_top() -> None:
    text = draw(Form({"subject": "too long"}))
    assert 'href="#id_subject"' in text
    assert 'role="alert"' in text
    assert 'aria-invalid="true"' in text
    assert 'aria-describedby="id_subject_error id_subject_helptext"' in text
    assert 'id="id_subject_error"' in text
    assert 'id="id_subject_helptext"' in text


def test_what_was_left_undone_is_said_in_the_words_of_the_form() -> None:
    class Sending(Form):
        undone = "Nothing was sent."

    class Asking(Form):
        undone = ""

    assert "Nothing was saved. One thing to put right:" in draw(Form({"subject": ""}))
    assert "Nothing was sent. One thing to put right:" in draw(Sending({"subject": ""}))
    assert "Nothing was" not in draw(Asking({"subject": ""}))


@pytest.mark.parametrize(("words", "wide"), [("Last hour", False), ("Last 30 minutes", True)])
def test_a_filter_whose_choices_do_not_fit_half_a_phone_has_its_whole_width(words: str, wide: bool) -> None:
    class Filters(forms.Form):
        over = forms.ChoiceField(choices=[("", "Any"), ("x", words)])

    drawn = engines["django"].get_template("console/filter.html").render({"field": Filters()["over"]})
    assert ('class="is-roomy"' in drawn) is wide


def test_a_form_that_was_not_sent_has_no_errors() -> None:
    text = draw(Form())
    assert "is-invalid" not in text
    assert "errors" not in text
    assert "(optional)" in text


def test_a_file_over_the_limit_is_refused_with_both_sizes() -> None:
    form = Form({"subject": "x"}, {"file": SimpleUploadedFile("a.csv", b"x" * 101)})
    assert form.errors["file"] == ["The file is 101\xa0bytes. Choose one of at most 100\xa0bytes."]
    assert "at most 100" in draw(form)


@pytest.mark.parametrize("text", ["[1]", "3", "null", "{", '{"a": }', "{" * 10_000, "[" * 100_000, '"x"'])
def test_json_that_is_no_object_is_refused_and_says_how_to_write_it(text: str) -> None:
    with pytest.raises(forms.ValidationError, match=re.escape('{"name": "value"}')):
        JsonObjectField().clean(text)


def test_a_json_object_is_read() -> None:
    assert JsonObjectField().clean('{"store": "Zürich"}') == {"store": "Zürich"}
    assert JsonObjectField(required=False).clean("") == {}
