"""A value is text wherever it stands: it never becomes markup, a script, another link or another line."""

import email.utils
import html
import re
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from delivery.templating import compile, fill_line, prepare

SOURCE = """<title>{{v}}</title><p style="color:{{v}}" title='{{v}}'>{{v}}</p><!-- {{v}} -->
<a id=whole href="{{v}}">a</a><a id=path href="https://x.example/{{v}}/end">b</a>
<a id=query href="https://x.example/?a={{v}}&amp;b=1">c</a><a id=mail href="mailto:{{v}}">d</a>
<img src="{{v}}" alt={{v}}><td background="{{v}}"></td><textarea>{{v}}</textarea>
<!--[if mso]><v:rect href="{{v}}">{{v}}</v:rect><![endif]-->"""
PREPARED = prepare(SOURCE, "html")
COMPILED = compile(PREPARED.html, PREPARED.text)
NASTY = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    " JaVaScript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "https://ok.example/\"><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "--!><script>alert(1)</script>",
    "</title></textarea></style><script>alert(1)</script>",
    "<![endif]--><script>x</script>",
    "red;background:url(javascript:alert(1))",
    "{{v}} {{unsubscribe_url}}",
    "&lt;script&gt;&amp;",
]  # fmt: skip
values = st.one_of(
    st.sampled_from(NASTY), st.text(max_size=40), st.text(alphabet="<>\"'&;-!{}()x=/:\r\n ", max_size=40)
)


def shape(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """Every element with its attributes' names: what a value must not change."""
    root = LexborHTMLParser(page).root
    assert root is not None
    return [(node.tag or "", tuple(sorted(node.attributes))) for node in root.traverse() if node.tag != "-text"]


SHAPE = shape(COMPILED.render_html({"v": "x"}))


@given(values)
def test_a_value_changes_no_markup(value: str) -> None:
    assert shape(COMPILED.render_html({"v": value})) == SHAPE


@given(values)
def test_a_value_makes_no_address_that_runs(value: str) -> None:
    root = LexborHTMLParser(COMPILED.render_html({"v": value}))
    for node in root.css("[href], [src], [background]"):
        for name in "href", "src", "background":
            address = (node.attributes.get(name) or "#").lower()
            assert address == "#" or address.startswith(("http://", "https://", "mailto:"))


@given(values.filter(lambda value: "\0" not in value and "\r" not in value))
def test_a_value_is_read_as_it_was_given(value: str) -> None:
    root = LexborHTMLParser(COMPILED.render_html({"v": value}))
    paragraph, path, query = root.css_first("p"), root.css_first("#path"), root.css_first("#query")
    assert paragraph is not None and path is not None and query is not None
    assert paragraph.attributes["title"] == value
    assert paragraph.text() == value
    assert unquote(urlsplit(str(path.attributes["href"])).path) == f"/{value}/end"
    fields = parse_qs(urlsplit(str(query.attributes["href"])).query, keep_blank_values=True)
    assert fields == {"a": [value], "b": ["1"]}


@given(values)
def test_every_line_ends_in_crlf(value: str) -> None:
    for body in COMPILED.render_html({"v": value}), COMPILED.render_text({"v": value}):
        assert not re.search(r"\r(?!\n)|(?<!\r)\n", body)


def test_plain_text_is_not_escaped() -> None:
    assert compile(None, "Dear {{v}}!").render_text({"v": "<b> & co"}) == "Dear <b> & co!"


def test_in_a_written_out_address_a_value_is_encoded() -> None:
    text = "See https://x.example/{{v}}?q={{v}}&r={{v}} or {{v}} (https://x.example) {{v}}"
    rendered = compile(None, text).render_text({"v": "a b/c"})
    assert rendered == "See https://x.example/a%20b/c?q=a%20b%2Fc&r=a%20b%2Fc or a b/c (https://x.example) a b/c"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("https://x.example/a?b=c&d=e#f", "https://x.example/a?b=c&d=e#f"),
        (" HTTP://x.example/日 本", "HTTP://x.example/%E6%97%A5%20%E6%9C%AC"),
        ("https://x.example/100%25", "https://x.example/100%25"),
        ("mailto:a@b.example", "mailto:a@b.example"),
        ("javascript:alert(1)", "#"),
        ("java\nscript:alert(1)", "#"),
        ("//x.example", "#"),
        ("ftp://x.example", "#"),
        ("", "#"),
        (None, "#"),
    ],
)
def test_a_whole_address_is_of_the_web_or_of_mail_or_dropped(value: str | None, address: str) -> None:
    page = compile('<a href="{{v}}">x</a>', "").render_html({"v": value})
    assert f'href="{html.escape(address)}"' in page


def test_numbers_and_nothing_are_values_too() -> None:
    assert compile(None, "{{a}} {{b}} {{c}}").render_text({"a": 1.5, "b": None}) == "1.5  "


def test_the_reserved_variable_can_not_be_given_by_a_list() -> None:
    compiled = compile('<a href="{{unsubscribe_url}}">x</a>', "{{unsubscribe_url}}")
    given_by_list = {"unsubscribe_url": "https://evil.example"}
    assert "evil" not in compiled.render_html(given_by_list, "https://u.example")
    assert compiled.render_text(given_by_list, "https://u.example") == "https://u.example"


def test_a_value_that_looks_like_a_variable_is_not_filled_again() -> None:
    assert fill_line("{{a}} {{b}}", {"a": "{{b}}", "b": "x"}) == "{{b}} x"


@given(st.text(max_size=60))
def test_a_line_stays_one_line(value: str) -> None:
    line = fill_line("Hello {{v}}", {"v": value})
    assert len(line.splitlines()) <= 1
    assert not re.search("[\x00-\x1f\x7f]", line)
    assert email.utils.unquote(line) is not None
