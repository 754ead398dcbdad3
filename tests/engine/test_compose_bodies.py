"""Bodies come through as they were written, in lines that every server takes."""

import quopri
import re
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.engine import bodies
from delivery.engine.compose import Composer, Letter
from delivery.templating import compile, link_target, prepare
from delivery.tokens import Tokens

TOKENS = Tokens({1: b"k" * 32})
TEXTS = {
    "ascii": "Hello there,\nhow are you = fine?\n\nBye\n",
    "japanese": "拝啓、\n皆様にはますますご清栄のこととお喜び申し上げます。\n" * 5,
    "emoji": "Party 🎉👩‍👩‍👧‍👦 time\n" * 20,
    "mostly ascii": "Zoë went to the café, and then " * 30 + "home\n",
    "a line of 3,000 characters": "x" * 3000 + "\n" + "words and " * 300 + "\n",
    "a line of 3,000 japanese characters": "語" * 3000 + "\n",
    "a lone dot": ".\n..\n.x\nthe end\n.\n",
    "blanks at the end of lines": "-- \nsignature\t\n" + "y" * 73 + " \n" + "y" * 74 + " \n" + "y" * 75 + "\t\n",
    "from at the start": "From here\n>From there\n",
    "what looks like the next part": "--=_7b\nContent-Type: text/html\n\n--=_7b--\n",
    "empty": "\n",
    "control characters": "bell \x07 escape \x1b null \x00 end\n",
}


def composed(html: str | None, text: str, **values: str) -> tuple[EmailMessage, bytes]:
    letter = Letter(
        0x7B, "news@example.com", "taro@example.org", "Hello", values=values, public_url="https://t.example"
    )
    mail = Composer(compile(html, text), TOKENS, 1).compose(letter, 0)
    assert mail.body.endswith(b"\r\n")
    assert mail.body.isascii()
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", mail.body)
    assert max(map(len, mail.body.split(b"\r\n"))) <= 76
    message = message_from_bytes(mail.as_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert part.defects == []
    return message, mail.body


def content(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8")


@pytest.mark.parametrize("name", TEXTS)
def test_plain_text_round_trips(name: str) -> None:
    for template, values in ((TEXTS[name], {}), ("{{body}}", {"body": TEXTS[name]})):
        message, _ = composed(None, template, **values)
        assert message.get_content_type() == "text/plain"
        assert message.get_content_charset() == "utf-8"
        assert content(message).replace("\r\n", "\n") == TEXTS[name]


@pytest.mark.parametrize("name", TEXTS)
def test_both_parts_round_trip(name: str) -> None:
    page = f"<!DOCTYPE html><html><body><p>{{{{a}}}}{TEXTS[name]}{{{{a}}}}</p></body></html>"
    message, _ = composed(page, TEXTS[name], a="<日本>")
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert content(text).replace("\r\n", "\n").removesuffix("\n") == TEXTS[name].removesuffix("\n")
    assert f"<p>&lt;日本&gt;{TEXTS[name]}&lt;日本&gt;</p>" in content(html).replace("\r\n", "\n")


@given(st.text(max_size=400))
def test_any_value_round_trips_with_crlf_for_line_ends(value: str) -> None:
    message, _ = composed(None, "a {{v}} b\n", v=value)
    lines = value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert content(message) == f"a {lines} b\r\n"


ends = st.sampled_from([" \n", "\t\n", "=\n", ".\n", "é\n", "\n"])


@given(st.lists(st.tuples(st.integers(65, 80), ends), max_size=6))
def test_quoted_printable_lines_are_at_most_76_wherever_they_end(lines: list[tuple[int, str]]) -> None:
    data = "".join("x" * length + end for length, end in lines).replace("\n", "\r\n").encode() + b"\r\n"
    encoded = bodies.quoted_printable(data)
    assert max(map(len, encoded.split(b"\r\n"))) <= 76
    assert not re.search(rb"[ \t]\r\n", encoded)
    assert quopri.decodestring(encoded) == data


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("ascii", b"quoted-printable"), ("japanese", b"base64"), ("mostly ascii", b"quoted-printable")],
)
def test_the_shorter_encoding_is_chosen(name: str, encoding: bytes) -> None:
    assert bodies.encode(TEXTS[name].replace("\n", "\r\n"))[0] == encoding


def test_half_a_surrogate_pair_spoils_no_mail() -> None:
    message, _ = composed("<p>{{v}}</p><a href='https://x.example/?{{v}}'>x</a>", "{{v}}", v="a\ud83d")
    assert content(next(iter(message.iter_parts()))) == "a?\r\n"


def test_the_links_of_a_mail_lead_back_to_their_targets() -> None:
    source = "".join(f"<p><a href='https://x.example/{n}?u={{{{id}}}}'>Item {n}</a></p>" for n in range(40))
    prepared = prepare(source + "<a href='{{unsubscribe_url}}'>Bye</a>", "html")
    compiled = compile(prepared.html, prepared.text, batch=True)
    letter = Letter(
        9, "a@example.com", "b@example.org", "x", values={"id": "7 &"}, public_url="https://t.example", batch=True
    )
    message = message_from_bytes(Composer(compiled, TOKENS, 7).compose(letter, 0).as_bytes(), policy=policy.default)
    text, html = [content(part) for part in message.iter_parts()]
    read = [TOKENS.read_click(token) for token in re.findall(r'href="https://t\.example/c/([^"]+)"', html)]
    assert read == [(9, index, 7) for index in range(40)]
    assert link_target(compiled, 39, {"id": "7 &"}) == "https://x.example/39?u=7%20%26"
    for part in text, html:
        found = re.search(r"https://t\.example/u/([\w-]+)", part)
        assert found is not None
        assert TOKENS.read_unsubscribe(found[1]) == 9
    image = re.search(r'<img src="https://t\.example/o/([\w-]+)\.gif"', html)
    assert image is not None
    assert TOKENS.read_open(image[1]) == 9
    assert "https://x.example/39?u=7%20%26" in text


def test_tracking_can_be_switched_off_for_each_kind() -> None:
    composer = Composer(compile("<a href='https://x.example'>x</a>", "x"), TOKENS, 1)
    letter = Letter(9, "a@example.com", "b@example.org", "x", public_url="https://t.example")
    letter.track_clicks = letter.track_opens = False
    body = composer.compose(letter, 0).body
    assert b"x.example" in body
    assert b"t.example" not in body
