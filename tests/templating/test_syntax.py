"""What counts as a variable, and what is refused with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.templating import check, variables


def test_variables_are_listed_once_in_order_of_first_appearance() -> None:
    source = "{{b}} {{ a }} {{b}} {{unsubscribe_url}} {{名前}} {{\ta_1 }}"
    assert variables(source) == ["b", "a", "名前", "a_1"]


@pytest.mark.parametrize(
    ("source", "line", "column", "code", "named"),
    [
        ("{% if x %}", 1, 1, "syntax", "{% if x %}"),
        ("Hello\n  {{ a.b }}", 2, 3, "syntax", "{{ a.b }}"),
        ("{{#if x}}yes{{/if}}", 1, 1, "syntax", "{{#if x}}"),
        ("{{ name|upper }}", 1, 1, "syntax", "{{ name|upper }}"),
        ("{{{name}}}", 1, 1, "syntax", "{{{name}}}"),
        ("{{}}", 1, 1, "syntax", "{{}}"),
        ("{{first name}}", 1, 1, "syntax", "{{first name}}"),
        ("a\r\nb {# note #}", 2, 3, "syntax", "{# note #}"),
        ("one {{name\ntwo", 1, 5, "unclosed", "never closed"),
        ("one {{name} two", 1, 5, "unclosed", "never closed"),
        ("{{a\nb}}", 1, 1, "unclosed", "never closed"),
        ("{{" + "x" * 65 + "}}", 1, 1, "syntax", "xxx"),
    ],
)
@pytest.mark.parametrize("kind", ["text", "html"])
def test_unknown_syntax_is_refused_at_its_place(
    kind: str, source: str, line: int, column: int, code: str, named: str
) -> None:
    problem = check(source, kind)[0]
    assert (problem.line, problem.column, problem.code) == (line, column, code)
    assert named in problem.text
    assert not problem.warning


def test_each_mistake_is_told_once() -> None:
    assert [(p.line, p.column) for p in check("{{#if}} {{x}} {{/if}}\n{% a {{b.c}} %}\n", "text")] == [
        (1, 1),
        (1, 15),
        (2, 1),
    ]


@pytest.mark.parametrize("source", ["50 % {off}", "}} {x} { {name} }", "{{a}}}", "a{color:red}", ""])
def test_single_braces_are_plain_text(source: str) -> None:
    assert check(source, "text") == []


def test_a_style_sheet_may_end_in_two_braces() -> None:
    assert check("<style>@media print{p{color:red}}</style><p>x</p>", "html") == []


def test_a_subject_stands_on_one_line_and_has_no_unsubscribe_link() -> None:
    assert check("Hello {{name}}", "header") == []
    assert [problem.code for problem in check("Hello\nBcc: x@y", "header")] == ["line_break"]
    assert [problem.code for problem in check("{{unsubscribe_url}}", "header")] == ["reserved"]


@given(st.text(alphabet="{}%#ab \n<>\"'=/", max_size=60))
def test_any_text_gets_an_answer(source: str) -> None:
    for kind in "html", "text", "header":
        for problem in check(source, kind):
            assert problem.line >= 1
            assert problem.column >= 1


def test_thousands_of_mistakes_end_in_a_short_list() -> None:
    assert len(check("{{ " * 300_000, "html")) <= 20
    assert len(check("{#" * 400_000, "text")) <= 20
    assert len(check("<p onclick=x>" * 50_000, "html")) <= 20
