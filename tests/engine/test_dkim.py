"""Our signatures, judged by dkimpy with the record that we publish."""

import base64

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.engine.dkim import Signer, new_key, parse_headers, relaxed_body, txt_record

PRIVATE, PUBLIC = new_key()
SIGNER = Signer("example.com", "s1", PRIVATE)
HEADERS = (
    b"From: =?utf-8?b?5pel5pys?= <news@example.com>\r\n"
    b"To: a@example.org\r\n"
    b"Subject: =?utf-8?q?caf=C3=A9?=\r\n and a fold  with blanks\r\n"
    b"Date: Sat, 21 Nov 2026 18:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n"
    b"Reply-To: b@example.com\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"List-Unsubscribe: <https://example.com/u/1>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"List-Id: <news.example.com>\r\n"
    b"Feedback-ID: 1:2:3:example\r\n"
    b"X-Not-Signed: may change\r\n"
)

BODIES = {
    "ASCII": b"hello\r\n",
    "Japanese": "日本語のメール\r\n".encode(),
    "emoji": "😀 \t 😀  \r\n".encode(),
    "long lines": b"x" * 3000 + b"\r\n",
    "a lone dot": b"a\r\n.\r\n..\r\nb\r\n",
    "empty": b"",
    "only line ends": b"\r\n\r\n\r\n",
    "blanks at the ends": b"  a  \t b \t\r\n \t\r\n\t\r\n",
    "no last line end": b"a",
}


def record(name, timeout=5):
    return txt_record(PUBLIC).encode() if name.rstrip(b".") == b"s1._domainkey.example.com" else None


def verifies(mail):
    return dkim.verify(mail, dnsfunc=record)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_signature_verifies(body):
    assert verifies(SIGNER.sign(HEADERS, body, 1_790_000_000) + HEADERS + b"\r\n" + body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"hello", b"hallo"),
        (b"a@example.org", b"b@example.org"),
        (b"/u/1", b"/u/2"),
        (b"Feedback-ID: 1", b"Feedback-ID: 2"),
        (b"8bit", b"7bit"),
        (b"From: ", b"From: someone@else.example\r\nFrom: "),
    ],
)
def test_a_change_of_what_is_signed_breaks_it(old, new):
    mail = SIGNER.sign(HEADERS, b"hello\r\n", 1_790_000_000) + HEADERS + b"\r\nhello\r\n"
    assert old in mail
    assert not verifies(mail.replace(old, new))


def test_what_is_not_signed_may_change():
    mail = SIGNER.sign(HEADERS, b"hello\r\n", 1_790_000_000) + HEADERS + b"\r\nhello\r\n"
    assert verifies(mail.replace(b"may change", b"has changed"))


def test_pairs_and_a_block_give_the_same():
    pairs = parse_headers(HEADERS)
    assert pairs[2] == (b"Subject", b" =?utf-8?q?caf=C3=A9?=\r\n and a fold  with blanks")
    assert SIGNER.sign(pairs, b"hello\r\n", 5) == SIGNER.sign(HEADERS, b"hello\r\n", 5)


def test_a_header_that_comes_twice_is_signed_twice():
    headers = HEADERS + b"List-Id: second\r\n"
    signature = SIGNER.sign(headers, b"hello\r\n", 5)
    assert b"h=list-id:" in signature
    assert verifies(signature + headers + b"\r\nhello\r\n")


def test_lines_of_the_signature_are_short_and_the_date_is_there():
    signature = SIGNER.sign(HEADERS, b"hello\r\n", 1_790_000_000)
    assert max(len(line) for line in signature.split(b"\r\n")) <= 78
    assert b"t=1790000000;" in signature
    assert b":from:from" in signature.replace(b"\r\n\t", b"")


def test_a_block_that_is_no_header_is_refused():
    with pytest.raises(ValueError, match="not a header"):
        parse_headers(b"From: a\r\nnonsense\r\n")


def test_a_key_that_is_not_rsa_is_refused():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(TypeError, match="RSA"):
        Signer("example.com", "s1", pem)


def test_the_record_is_what_verifiers_read():
    assert txt_record(PUBLIC).startswith("v=DKIM1; k=rsa; p=MIIBIjAN")
    assert len(base64.b64decode(PUBLIC)) == 294


LINE = st.text(alphabet=" \tab.é", max_size=6)


@settings(max_examples=500, deadline=None)
@given(st.lists(LINE, max_size=8))
def test_bodies_are_canonicalised_as_dkimpy_does(lines):
    body = "".join(line + "\r\n" for line in lines).encode()
    assert relaxed_body(body) == dkim.canonicalization.Relaxed.canonicalize_body(body)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text(alphabet=" \tab.é日", max_size=6), max_size=6),
    st.lists(LINE, min_size=1, max_size=4),
    st.sampled_from([" ", "\t", "  "]),
)
def test_any_mail_verifies(lines, subject, fold):
    body = "".join(line + "\r\n" for line in lines).encode()
    folded = ("\r\n" + fold).join(subject)
    headers = f"From: a@example.com\r\nSubject:{folded}\r\n".encode()
    assert verifies(SIGNER.sign(headers, body, 5) + headers + b"\r\n" + body)
