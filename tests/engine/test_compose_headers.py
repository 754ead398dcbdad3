"""Headers: readable by any parser, and a value can never add one, nor a recipient."""

import base64
import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.engine import headers
from delivery.engine.compose import Composer, Letter
from delivery.engine.headers import BadAddress
from delivery.templating import compile
from delivery.tokens import Tokens

TOKENS = Tokens({1: b"k" * 32})
COMPOSER = Composer(compile("<p>Hello {{name}}</p>", "Hello {{name}}", batch=True), TOKENS, 1)
NOW = 1_790_000_000.5


def letter(**changes: object) -> Letter:
    fields: dict[str, object] = {
        "message_id": 123,
        "from_address": "news@example.com",
        "recipient": "taro@example.org",
        "subject": "Hello",
        "public_url": "https://t.example",
    }
    return Letter(**(fields | changes))  # type: ignore[arg-type]


def parsed(given_letter: Letter) -> EmailMessage:
    """The mail as the standard library reads it, without a single defect and with sound lines."""
    mail = COMPOSER.compose(given_letter, NOW).as_bytes()
    head = mail.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", mail)
    for line in head.split(b"\r\n"):
        assert len(line) <= 998
        assert line.strip()
    message = message_from_bytes(mail, policy=policy.default)
    for part in message.walk():
        assert part.defects == []
        for _, value in part.items():
            assert not getattr(value, "defects", ())
    assert isinstance(message, EmailMessage)
    return message


def test_a_regular_mail_has_the_usual_headers_once_each() -> None:
    message = parsed(letter(reply_to="help@example.com"))
    assert message.keys() == [
        "From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert message["From"] == "news@example.com"
    assert message["To"] == "taro@example.org"
    assert message["Message-ID"] == "<123@example.com>"
    assert message["Reply-To"] == "help@example.com"
    assert message["Date"].datetime.timestamp() == int(NOW)
    assert message["MIME-Version"] == "1.0"


def test_batch_mail_can_be_left_with_one_click() -> None:
    message = parsed(letter(batch=True, list_id="group-7.example.com", feedback_id="12:3:batch:posthorn"))
    url, by_mail = message["List-Unsubscribe"].split(", ")
    assert TOKENS.read_unsubscribe(url.removeprefix("<https://t.example/u/").removesuffix(">")) == 123
    address = by_mail.removeprefix("<mailto:").removesuffix("?subject=unsubscribe>")
    assert address == f"u+{TOKENS.unsubscribe(123)}@bounce.example.com"
    assert len(address.partition("@")[0]) <= 64
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Id"] == "<group-7.example.com>"
    assert message["Feedback-ID"] == "12:3:batch:posthorn"
    assert "Auto-Submitted" not in message


@pytest.mark.parametrize(
    "subject",
    [
        "Hello",
        "",
        "a" * 67,
        "a" * 68,
        "a" * 3000,
        "word " * 100 + "end",
        "two  blanks   and   more " * 10 + "x",
        "Привет, мир! " * 20,
        "日本語の件名" * 30,
        "🎉👩‍👩‍👧‍👦" * 40,
        "mixed 日本 and English " * 10 + ".",
        "=?utf-8?B?YQ==?= as typed",
        "a=?b and 100 % ?=",
        "Re: <b>, \"q\" \\ ; : @",
    ],
)  # fmt: skip
def test_a_subject_is_read_as_it_was_written(subject: str) -> None:
    assert parsed(letter(subject=subject))["Subject"] == subject.strip()


@given(st.text(max_size=200))
def test_any_subject_is_read_back_without_its_control_characters(subject: str) -> None:
    value = re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+", " ", subject).strip()
    assert parsed(letter(subject="{{s}}", values={"s": subject}))["Subject"] == value


@pytest.mark.parametrize(
    "name",
    [
        "Posthorn",
        "Doe, John",
        "Shop & Co., Ltd. (Berlin)",
        'The "Best" \\ Shop',
        "a@b.example",
        "<evil@example.net>",
        "evil@example.net,",
        "株式会社ポストホルン、営業部",
        "日本語" * 40,
        "Zoë 🎉, Inc.",
        "=?utf-8?Q?evil=40example.net?=",
        "x" * 300,
        "two  blanks",
    ],
)
def test_a_sender_name_stays_a_name_whatever_it_holds(name: str) -> None:
    addresses = parsed(letter(from_name=name))["From"].addresses
    assert [a.addr_spec for a in addresses] == ["news@example.com"]
    # The standard library's parser of addresses puts a blank between encoded-words; its older one reads RFC 2047 §6.2.
    shown = addresses[0].display_name
    if len(name.encode()) > 42:
        field = dict(COMPOSER.compose(letter(from_name=name), NOW).headers)[b"From"].decode()
        shown = str(make_header(decode_header(parseaddr(field)[0].replace("\r\n", ""))))
    assert shown == name


@given(st.text(max_size=120))
def test_no_sender_name_adds_an_address(name: str) -> None:
    addresses = parsed(letter(from_name="{{n}}", values={"n": name}))["From"].addresses
    assert [a.addr_spec for a in addresses] == ["news@example.com"]


INJECTION = st.lists(
    st.sampled_from(
        ["\r\n", "\r", "\n", "\0", "\x0b", "\x85", "\u2028", " ", ",", "<", ">", '"', "Bcc: a@b.example", "x"]
    ),
    max_size=12,
).map("".join)
PLAIN = parsed(letter(batch=True, list_id="l.example", feedback_id="1:2", from_name="x")).keys()


@given(INJECTION, INJECTION, INJECTION, INJECTION)
def test_no_value_adds_a_header(name: str, subject: str, list_id: str, feedback_id: str) -> None:
    message = parsed(
        letter(
            from_name=f"{name}{{{{v}}}}",
            subject=f"{subject}{{{{v}}}}",
            values={"v": name + subject, "name": subject},
            list_id=f"l{list_id}",
            feedback_id=f"1{feedback_id}",
            batch=True,
        )
    )
    assert message.keys() == PLAIN
    assert message["To"] == "taro@example.org"


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example\r\nBcc: c@d.example",
        "a\n@b.example",
        "a@b.example, c@d.example",
        "a@b.example>",
        "a@b.example <c@d.example>",
        "a@b example",
        "a b@c.example",
        "a@",
        "@b.example",
        "nobody",
        "",
        "a@-\0.example",
        "a@..",
    ],
)
@pytest.mark.parametrize("field", ["recipient", "from_address", "reply_to"])
def test_what_is_no_address_is_refused(field: str, address: str) -> None:
    if field == "reply_to" and not address:
        return
    with pytest.raises(BadAddress):
        COMPOSER.compose(letter(**{field: address}), NOW)


@given(st.text(st.characters(max_codepoint=0x7F), max_size=30), st.sampled_from(["", "a", '"a b"', "<a", "a,b"]))
def test_an_address_is_one_address_or_refused(odd: str, start: str) -> None:
    try:
        message = parsed(letter(recipient=f"{start}{odd}@example.org"))
    except BadAddress:
        return
    assert [address.domain for address in message["To"].addresses] == ["example.org"]


def test_odd_local_parts_are_quoted() -> None:
    assert headers.address('"a b"@example.org') == '"a b"@example.org'
    assert headers.address("a..b@example.org") == '"a..b"@example.org'
    assert headers.address("o'neil+x/y@example.org") == "o'neil+x/y@example.org"


def test_twenty_recipients_stand_in_one_folded_field() -> None:
    everyone = [f"recipient.number.{n}@department.example.org" for n in range(20)]
    given_letter = letter(to_field=everyone, recipient=everyone[3])
    assert [a.addr_spec for a in parsed(given_letter)["To"].addresses] == everyone
    to_lines = dict(COMPOSER.compose(given_letter, NOW).headers)[b"To"].split(b"\r\n")
    assert max(map(len, to_lines)) <= 78


@pytest.mark.parametrize(
    ("changes", "smtputf8"),
    [
        ({}, False),
        ({"recipient": "用户@example.org"}, True),
        ({"from_address": "ニュース@example.com"}, True),
        ({"reply_to": "ü@example.com"}, True),
        ({"to_field": ["a@example.org", "ü@example.org"]}, True),
        ({"recipient": "taro@例え.example"}, False),
        ({"from_name": "日本", "subject": "日本"}, False),
    ],
)
def test_only_local_parts_outside_ascii_need_smtputf8(changes: dict[str, object], smtputf8: bool) -> None:
    composed = COMPOSER.compose(letter(**changes), NOW)
    assert composed.smtputf8 is smtputf8
    assert composed.as_bytes().partition(b"\r\n\r\n")[0].isascii() is not smtputf8


def test_domains_go_as_a_labels() -> None:
    message = parsed(letter(recipient="taro@例え.example", from_address="news@Bücher.example"))
    assert message["To"] == "taro@xn--r8jz45g.example"
    assert message["Message-ID"] == "<123@xn--bcher-kva.example>"


@given(st.text(min_size=1, max_size=300), st.integers(0, 30))
def test_encoded_words_are_short_and_split_no_character(text: str, used: int) -> None:
    lines = headers.encoded_words(text, used).split(b"\r\n ")
    for number, line in enumerate(lines):
        assert len(line) <= 75
        assert len(line) + (used if number == 0 else 1) <= 76 or len(text) == 1
        encoded = re.fullmatch(rb"=\?utf-8\?B\?([A-Za-z0-9+/=]+)\?=", line)
        assert encoded is not None
        base64.b64decode(encoded[1]).decode()


@given(st.text(alphabet="ab ", max_size=300))
def test_header_lines_are_folded_at_76(subject: str) -> None:
    value = headers.unstructured(subject)
    first, *others = value.split(b"\r\n")
    assert len(first) + len("Subject: ") <= 76
    assert all(len(line) <= 76 for line in others)


def test_what_was_filled_before_is_not_filled_again() -> None:
    values = {"name": "Taro"}
    message = parsed(letter(subject="{{name}}", from_name="{{name}}", values=values, filled=True))
    assert (message["Subject"], message["From"].addresses[0].display_name) == ("{{name}}", "{{name}}")
    assert parsed(letter(subject="{{name}}", values=values))["Subject"] == "Taro"


def test_a_signature_goes_first_and_the_order_is_kept() -> None:
    mail = COMPOSER.compose(letter(), NOW).as_bytes(b"DKIM-Signature: v=1\r\n")
    assert mail.startswith(b"DKIM-Signature: v=1\r\nFrom: news@example.com\r\nTo: ")
