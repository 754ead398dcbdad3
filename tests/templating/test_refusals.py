"""Nothing that runs is accepted, however it is written, and the place is named."""

import pytest

from delivery.templating import TemplateError, check, prepare, read_upload

RUNS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js>",
    "<script\n>x</script >",
    "<svg:script>x</svg:script>",
    "<p onclick='x()'>",
    "<p ONCLICK=x>",
    "<img src=x onerror=alert(1)>",
    '<img/src="x"/onerror=alert(1)>',
    "<body onload=x>",
    "<a href='javascript:alert(1)'>",
    "<a href=javascript:alert(1)>",
    "<a href=' JaVaScRiPt:alert(1)'>",
    "<a href='java\tscript:alert(1)'>",
    "<a href='java\nscript:alert(1)'>",
    "<a href='java&#10;script:alert(1)'>",
    "<a href='&#106;&#x61;vascript:alert(1)'>",
    "<a href='javascript&colon;alert(1)'>",
    "<a href='&#1;javascript:alert(1)'>",
    "<a href='vbscript:msgbox(1)'>",
    "<a href='data:text/html,<b>x'>",
    "<img src='data:image/svg+xml;base64,AAAA'>",
    "<form action='javascript:x'>",
    "<svg><a xlink:href='javascript:x'>",
    "<svg><animate values='#;javascript:x' attributeName=href>",
    "<p style='width:expression(alert(1))'>",
    "<p style='width:exp/**/ression(alert(1))'>",
    "<p style='background:url(javascript:x)'>",
    "<p style='behavior: url(x.htc)'>",
    "<style>p{width:\\65xpression(x)}</style>",
    "<style>p{background:url('javascript:x')}</style>",
    "<!--[if mso]><script>x</script><![endif]-->",
]
REFUSED_TAGS = [
    "<iframe src='https://x.example'></iframe>",
    "<iframe srcdoc='x'></iframe>",
    "<object data='x.swf'></object>",
    "<embed src='x.swf'>",
    "<applet code=x></applet>",
    "<base href='https://evil.example'>",
    "<meta http-equiv='refresh' content='0;url=https://x.example'>",
    "<META HTTP-EQUIV=Refresh content=0>",
    "<xmp><p></xmp>",
    "<noframes></noframes>",
]


@pytest.mark.parametrize("source", RUNS)
def test_javascript_is_refused_with_its_place(source: str) -> None:
    problems = check(f"<p>Hello</p>\n<div>{source}", "html")
    assert {"javascript"} <= {problem.code for problem in problems}
    assert problems[0].line >= 2


@pytest.mark.parametrize("source", REFUSED_TAGS)
def test_what_loads_or_moves_by_itself_is_refused(source: str) -> None:
    problems = check(f"<p>\n{source}", "html")
    assert (problems[0].line, problems[0].column, problems[0].code) == (2, 1, "tag")


@pytest.mark.parametrize(
    "source",
    [
        "<svg><style><img src=x onerror=alert(1)>",
        "<svg><title><img src=x onerror=alert(1)></title></svg>",
        "<math><title><img src=x onerror=alert(1)></title></math>",
        "<!--[if mso]> <img title='--><img src=x onerror=alert(1)>'> <![endif]-->",
        "<svg><![CDATA[><img src=x onerror=alert(1)>]]></svg>",
        "<select><style></select><img src=x onerror=alert(1)></style>",
    ],
)
def test_what_only_the_tree_shows_is_refused_or_comes_out_harmless(source: str) -> None:
    if check(source, "html"):
        with pytest.raises(TemplateError):
            prepare(source, "html")
    else:
        html = prepare(source, "html").html
        assert html is not None
        assert check(html, "html") == []


@pytest.mark.parametrize(
    "source",
    [
        "<p title='JavaScript: the good parts'>A book on javascript: and onclick=x</p>",
        "<a href='https://x.example/?q=javascript:alert'>x</a>",
        "<img src='data:image/png;base64,AAAA' alt='javascript:'>",
        "<a href='tel:+123' data-on='x'>x</a> <a href='#top'>y</a>",
        "<style>p{scroll-behavior:smooth}</style><p style='scroll-behavior:smooth'>x</p>",
        "<!-- <script>old</script> --><p>x</p>",
        "<!--[if gte mso 9]><xml><o:OfficeDocumentSettings></o:OfficeDocumentSettings></xml><![endif]--><p>x</p>",
        "<!DOCTYPE html><html><head><title>a <b</title></head><body bgcolor=#fff>1 < 2 && 3 > 2</body></html>",
        "<font color=red>old</font><center>but fine</center>",
    ],
)
def test_ordinary_mail_is_accepted(source: str) -> None:
    assert check(source, "html") == []
    prepare(source, "html")


def test_a_form_is_only_warned_of() -> None:
    problems = check("<form action='https://x.example'><input name=a></form>", "html")
    assert [(problem.code, problem.warning) for problem in problems] == [("form", True)]
    prepare("<form action='https://x.example'><input name=a></form>", "html")


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("<style>p{color:{{c}}}</style>", 16),
        ("<{{tag}}>", 1),
        ("</{{tag}}>", 1),
        ("<h{{n}}>", 1),
        ("<p {{attribute}}=x>", 4),
        ("<p data-{{x}}=x>", 4),
        ("<p {{a}}>", 4),
    ],
)
def test_a_variable_where_a_value_could_change_the_markup_is_refused(source: str, column: int) -> None:
    problems = check(source, "html")
    assert (problems[0].column, problems[0].code) == (column, "variable_place")


@pytest.mark.parametrize("source", ["<p>x <a href='y", "<p>x <a", "<p>x <!-- y"])
def test_what_is_never_closed_is_refused(source: str) -> None:
    assert [(p.column, p.code) for p in check(source, "html")] == [(6, "unclosed_tag")]


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x7f", "\ud800"])
def test_control_characters_are_refused_with_their_place(character: str) -> None:
    problem = check(f"ab\nc{character}", "text")[0]
    assert (problem.line, problem.column, problem.code) == (2, 2, "binary")


def test_more_than_a_megabyte_is_refused() -> None:
    assert [problem.code for problem in check("あ" * 400_000, "text")] == ["too_big"]
    assert check("x" * 1_000_000, "text") == []


@pytest.mark.parametrize("source", ["<div>" * 50_000, "<b><p>" * 20_000, "<div><table></div>" * 20_000])
def test_nesting_without_end_is_refused_and_not_parsed(source: str) -> None:
    assert [problem.code for problem in check(source, "html")] == ["too_deep"]


def test_nesting_of_three_hundred_is_refused_and_of_a_hundred_is_not() -> None:
    assert [problem.code for problem in check("<div>" * 300 + "x" + "</div>" * 300, "html")] == ["too_deep"]
    assert prepare("<div>" * 100 + "deep" + "</div>" * 100, "html").text == "deep\n"


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"PK\x03\x04\xff\xfe\x00", b"\xff\xfea"],
)
def test_an_upload_of_binary_is_refused(data: bytes) -> None:
    with pytest.raises(TemplateError) as error:
        read_upload(data)
    assert error.value.problems[0].code == "binary"


def test_an_upload_of_fifty_megabytes_is_refused() -> None:
    with pytest.raises(TemplateError) as error:
        read_upload(b"x" * 50_000_000)
    assert error.value.problems[0].code == "too_big"
    assert "47.7 MB" in str(error.value)


@pytest.mark.parametrize(
    "data",
    [
        "<p>日本</p>".encode(),
        "<p>日本</p>".encode("utf-8-sig"),
        "<p>日本</p>".encode("utf-16"),
        "<meta charset='shift_jis'><p>日本</p>".encode("shift_jis"),
    ],
)
def test_uploads_are_read_in_their_own_charset(data: bytes) -> None:
    assert read_upload(data).endswith("<p>日本</p>")
