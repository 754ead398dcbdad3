"""Which links are tracked, where they lead, and what batch mail gets besides."""

import pytest

from delivery.templating import compile, link_target, prepare

SOURCE = """<body><a href="https://x.example/?a=1&amp;b={{b}}">0</a>
<a href="mailto:a@x.example">-</a><a href="tel:+1">-</a><a href="#top">-</a><a>-</a><a href="">-</a>
<a href="{{unsubscribe_url}}">-</a><a href="https://x.example/out?to={{unsubscribe_url}}">-</a>
<a href="{{url}}/end?x={{b}}">1</a><map><area href="HTTPS://y.example"></map>
<link href="https://z.example/"><img src="https://i.example/{{b}}">
<!--[if mso]><v:roundrect href="https://mso.example/"></v:roundrect><![endif]--></body>"""
COMPILED = compile(SOURCE, "text {{b}}")
VALUES = {"b": "1 & 2", "url": "https://u.example"}


def click(index: int) -> str:
    return f"https://t.example/c/{index}"


def test_web_links_are_tracked_and_keep_their_number() -> None:
    page = COMPILED.html.fill(VALUES, "https://t.example/u/x", click)
    for index, after in enumerate([">0<", ">1<", "></map>", "></v:roundrect>"]):
        assert f'"https://t.example/c/{index}"{after}' in page
    assert page.count("/c/") == 4 == len(COMPILED.links)
    assert 'href="mailto:a@x.example"' in page
    assert 'href="https://t.example/u/x"' in page
    assert 'src="https://i.example/1%20%26%202"' in page


def test_the_redirect_finds_the_same_target() -> None:
    targets = [link_target(COMPILED, index, VALUES) for index in range(4)]
    assert targets == [
        "https://x.example/?a=1&b=1%20%26%202",
        "https://u.example/end?x=1%20%26%202",
        "HTTPS://y.example",
        "https://mso.example/",
    ]


@pytest.mark.parametrize("index", [-1, 4, 65535])
def test_an_unknown_link_is_an_error(index: int) -> None:
    with pytest.raises(IndexError):
        link_target(COMPILED, index, VALUES)


def test_without_tracking_links_lead_straight_on() -> None:
    page = COMPILED.render_html(VALUES)
    assert 'href="https://x.example/?a=1&amp;b=1%20%26%202"' in page
    assert "/c/" not in page


@pytest.mark.parametrize(("value", "href"), [("javascript:x", "#"), ("mailto:a@b.example", "mailto:a@b.example")])
def test_a_link_that_turns_out_to_be_none_of_the_web_is_not_tracked(value: str, href: str) -> None:
    compiled = compile('<a href="{{url}}">x</a><a href="https://x.example">y</a>', "")
    page = compiled.html.fill({"url": value}, "", click)
    assert f'<a href="{href}">x</a><a href="https://t.example/c/1">y</a>' in page


def test_the_open_image_is_the_last_thing_in_the_body() -> None:
    image = compile("<body><p>x</p></body></html>", "").html.fill({}, "", None, "https://t.example/o/x.gif")
    assert '<p>x</p><img src="https://t.example/o/x.gif" width="1"' in image
    assert image.endswith("></body></html>")
    assert compile("<p>x", "").html.fill({}, "", None, "https://o").startswith('<p>x<img src="https://o"')


def test_batch_mail_gets_an_unsubscribe_link_in_each_part_that_lacks_it() -> None:
    prepared = prepare("<p>Hello</p>", "html")
    compiled = compile(prepared.html, prepared.text, batch=True, unsubscribe="Leave & go")
    page = compiled.render_html({}, "https://t.example/u/x")
    assert '<a href="https://t.example/u/x"' in page
    assert "Leave &amp; go</a></div></body>" in page
    assert compiled.render_text({}, "https://t.example/u/x") == "Hello\r\n\r\nLeave & go: https://t.example/u/x\r\n"
    assert compiled.links == ()


def test_a_template_with_its_own_unsubscribe_link_gets_no_other() -> None:
    prepared = prepare("<a href='{{ unsubscribe_url }}'>Bye</a>", "html")
    compiled = compile(prepared.html, prepared.text, batch=True)
    assert compiled.render_html({}, "https://u").count("https://u") == 1
    assert compiled.render_text({}, "https://u") == "Bye (https://u)\r\n"


def test_regular_mail_gets_none() -> None:
    assert compile("<p>x</p>", "x").render_html({}, "https://u") == "<p>x</p>"
