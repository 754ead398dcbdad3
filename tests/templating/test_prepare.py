"""Once per version: style sheets inlined, the text alternative made, variables untouched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.templating import TemplateError, check, prepare


def prepared_html(source: str, summary: str = "") -> str:
    html = prepare(source, "html", summary).html
    assert html is not None
    return html


def test_style_sheets_are_inlined_and_kept() -> None:
    html = prepared_html("<style>p{color:red}@media print{p{color:blue}}</style><p>x</p>")
    assert '<p style="color: red;">x</p>' in html
    assert "@media print" in html


def test_variables_survive_inlining_wherever_they_stand() -> None:
    source = (
        "<style>a{color:red}</style><p style='margin:{{ m }}px'>{{name}}</p>"
        "<a href={{ url }} title='{{t}}'>{{名前}}</a><img src='https://x.example/{{i}}.png?a=1&b={{b}}'>"
        "<!--[if mso]>{{mso}}<![endif]-->"
    )
    html = prepared_html(source)
    for piece in (
        "margin:{{m}}px",
        ">{{name}}</p>",
        'href="{{url}}"',
        'title="{{t}}"',
        ">{{名前}}</a>",
        'src="https://x.example/{{i}}.png?a=1&amp;b={{b}}"',
        "<!--[if mso]>{{mso}}<![endif]-->",
    ):
        assert piece in html
    assert prepare(source, "html").variables == ("m", "name", "url", "t", "名前", "i", "b", "mso")


def test_words_of_the_template_are_not_taken_for_variables() -> None:
    assert "phv0x phvv0x {{a}}" in prepared_html("<p>phv0x phvv0x {{a}}</p>")


def test_nothing_is_loaded_from_the_network_or_the_disk(tmp_path) -> None:
    sheet = tmp_path / "x.css"
    sheet.write_text("p{color:pink}")
    html = prepared_html(f"<link rel=stylesheet href='{sheet}'><link rel=stylesheet href='file://{sheet}'><p>x</p>")
    assert "pink" not in html


def test_the_page_says_utf_8_like_the_mail() -> None:
    assert 'charset="utf-8"' in prepared_html("<head><meta charset='Shift_JIS'></head><p>x")
    html = prepared_html("<head><meta http-equiv=Content-Type content='text/html; charset=gb2312'></head><p>x")
    assert "text/html; charset=utf-8" in html


def test_the_summary_is_hidden_before_everything_else() -> None:
    prepared = prepare("<body class=x><p>Hello</p></body>", "html", "Only <today>, {{name}}")
    assert prepared.html is not None
    start = prepared.html.index("<body")
    assert "Only &lt;today&gt;, {{name}}</div><p>Hello" in prepared.html[start:]
    assert prepared.variables == ("name",)
    assert prepared.text == "Hello\n"
    with pytest.raises(TemplateError):
        prepare("<p>x", "html", "{{a.b}}")


def test_the_text_alternative_shows_links_and_lists() -> None:
    source = (
        "<h1>Sale</h1><p>Dear {{name}}, see <a href='https://x.example/?a=1&amp;b={{b}}'>our <b>shop</b></a>.</p>"
        "<ul><li>One</li><li>Two</li></ul><p><a href='mailto:{{mail}}'>{{mail}}</a>"
        " <a href='https://y.example/'>https://y.example</a> <a href='#top'>up</a>"
        " <a href='{{unsubscribe_url}}'>Leave</a> <a href='https://z.example'><img src=x alt=Logo></a></p>"
        "<style>p{color:red}</style>"
    )
    text = " ".join(prepare(source, "html").text.split())
    assert text == (
        "Sale Dear {{name}}, see our shop (https://x.example/?a=1&b={{b}}). * One * Two"
        " {{mail}} https://y.example up Leave ({{unsubscribe_url}}) Logo (https://z.example)"
    )


def test_a_mail_of_pictures_alone_gets_their_descriptions() -> None:
    assert "Summer sale" in prepare("<p><img src=x.png alt='Summer sale'></p>", "html").text


def test_a_plain_text_template_stays_as_it_is() -> None:
    prepared = prepare("Hello {{name}},\n<b>&amp;", "text")
    assert (prepared.html, prepared.text, prepared.variables) == (None, "Hello {{name}},\n<b>&amp;", ("name",))


def test_every_problem_is_in_the_error() -> None:
    with pytest.raises(TemplateError) as error:
        prepare("<script>x</script>\n{{a.b}}", "html")
    assert [(p.line, p.code) for p in error.value.problems] == [(1, "javascript"), (2, "syntax")]
    assert "Line 2, column 1" in str(error.value)


@pytest.mark.parametrize(
    "source", ["", " ", "just words {{name}}", "<p>unclosed", "<td>loose", "</p></div>", "<title>x"]
)
def test_odd_but_harmless_html_is_prepared(source: str) -> None:
    prepare(source, "html")


PIECES = """<p>|</p>|<table>|<td>|{{a}}|<a href=|"|'|>|<!--|-->|<b |x |&lt;|<style>|</style>|<svg>|<title>|</title>"""
SNIPPETS = [*PIECES.split("|"), " onx=1", "<![endif]-->", "<!--[if mso]>", "/"]


@given(st.lists(st.sampled_from(SNIPPETS), max_size=12).map("".join))
def test_what_passes_the_check_is_prepared_and_stays_harmless_or_is_refused(source: str) -> None:
    try:
        prepared = prepare(source, "html")
    except TemplateError:
        return
    assert prepared.html is not None
    assert not [problem for problem in check(prepared.html, "html") if not problem.warning]
