"""A composed and signed mail verifies, whatever its text."""

import dkim
import pytest

from delivery.engine.compose import Composer, Letter
from delivery.engine.dkim import Signer, new_key, txt_record
from delivery.templating import compile
from delivery.tokens import Tokens
from tests.engine.test_compose_bodies import TEXTS

PRIVATE, PUBLIC = new_key()
SIGNER = Signer("example.com", "s1", PRIVATE)


@pytest.mark.parametrize("name", TEXTS)
def test_a_composed_mail_verifies(name: str) -> None:
    composer = Composer(compile(f"<p>{TEXTS[name]}</p>", TEXTS[name], batch=True), Tokens({1: b"k" * 32}), 1)
    letter = Letter(
        1,
        "news@example.com",
        "taro@example.org",
        f"{TEXTS[name][:300]}",
        from_name="日本, 営業部 " * 8,
        batch=True,
        list_id="l.example.com",
        feedback_id="1:2:3:4",
        public_url="https://t.example",
        reply_to="help@example.com",
    )
    mail = composer.compose(letter, 0)
    signature = SIGNER.sign(mail.headers, mail.body, 1_700_000_000)
    for signed in b"list-unsubscribe:", b"list-unsubscribe-post:", b"content-type:", b"reply-to:":
        assert signed in signature.replace(b"\r\n\t", b"")
    assert dkim.verify(mail.as_bytes(signature), dnsfunc=lambda name, timeout=5: txt_record(PUBLIC).encode())
