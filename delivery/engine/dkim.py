"""DKIM signatures: rsa-sha256, relaxed/relaxed (RFC 6376, RFC 8301), and the keys for them.

Canonicalisation is a handful of byte replacements, so signing costs little more than the bare RSA operation; and that
releases the GIL, so threads share the cores.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

Headers = Sequence[tuple[bytes, bytes]]

SIGNED: Final = frozenset(
    {b"from", b"subject", b"date", b"to", b"cc", b"reply-to", b"message-id", b"mime-version", b"feedback-id"}
)
SIGNED_PREFIXES: Final = (b"content-", b"list-")

_PREHASHED = Prehashed(hashes.SHA256())
_PADDING = padding.PKCS1v15()
_LAST_LINES = re.compile(rb"(?:\r\n)+\Z")
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)\r\n")


def relaxed_body(body: bytes) -> bytes:
    """Body in relaxed canonical form (RFC 6376 §3.4.4). Lines must end in CRLF; a missing last CRLF is added."""
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    if b"  " in body:
        body = body.replace(b"        ", b" ")
        while b"  " in body:
            body = body.replace(b"  ", b" ")
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    if body.endswith(b"\r\n\r\n") or body == b"\r\n":
        body = _LAST_LINES.sub(b"", body)
        if body:
            body += b"\r\n"
    return body


def _unfolded(text: bytes) -> bytes:
    if b"\r\n" in text:
        text = text.replace(b"\r\n", b"")
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def parse_headers(block: bytes) -> list[tuple[bytes, bytes]]:
    """Header block with CRLF lines → (name, value) pairs, folds left in. ValueError when it is none."""
    fields: list[tuple[bytes, bytes]] = []
    position = 0
    while position < len(block):
        match = _FIELD.match(block, position)
        if match is None:
            if block[position : position + 2] == b"\r\n":
                break
            raise ValueError(f"not a header line: {block[position : position + 80]!r}")
        fields.append((match[1], match[2]))
        position = match.end()
    return fields


@lru_cache(maxsize=256)
def _signed_as(name: bytes) -> bytes:
    """The header's name in canonical form, or nothing when it is not signed."""
    name = name.lower()
    return name if name in SIGNED or name.startswith(SIGNED_PREFIXES) else b""


class Signer:
    """A domain's key, loaded once. Safe to share between threads."""

    def __init__(self, domain: str, selector: str, private_pem: bytes) -> None:
        """`domain` in A-labels. The key is ours, so the slow check of its primes is left out."""
        key = serialization.load_pem_private_key(private_pem, password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("DKIM needs an RSA key")
        self._key = key
        self.domain, self.selector = domain, selector
        self._start = f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector};"
        self._names: dict[tuple[bytes, ...], str] = {}

    def sign(self, headers: Headers | bytes, body: bytes, now: int, *, relaxed: bytes | None = None) -> bytes:
        """The whole DKIM-Signature header, folded, with its CRLF; to be put before the others.

        `headers`: (name, value) pairs in the order in which they stand in the mail, or the block of them, CRLF lines.
        `now`: seconds since the epoch. `relaxed`: the body in relaxed canonical form, where that is known.
        """
        if isinstance(headers, bytes):
            headers = parse_headers(headers)
        names: list[bytes] = []
        lines: list[bytes] = []
        for written, value in reversed(headers):  # of several with one name the last is signed first (§5.4.2)
            if name := _signed_as(written):
                names.append(name)
                lines.append(name + b":" + value.strip(b" \t\r\n"))
        body_hash = base64.b64encode(sha256(relaxed_body(body) if relaxed is None else relaxed).digest()).decode()
        # every "\r\n\t" is one blank to the verifier: what is signed is what is written, with the folds flattened
        folded = f"{self._start}\r\n\tt={now}; h={self._list(names)};\r\n\tbh={body_hash};\r\n\tb="
        lines.append(b"dkim-signature:" + folded.encode())
        # All of them at once: a line end alone is none of theirs.
        signed = _unfolded(b"\n".join(lines)).replace(b"\n", b"\r\n")
        text = base64.b64encode(self._rsa(sha256(signed).digest())).decode()
        wrapped = "\r\n\t".join([text[start : start + 74] for start in range(0, len(text), 74)])
        return f"DKIM-Signature: {folded}{wrapped}\r\n".encode()

    def _rsa(self, digest: bytes) -> bytes:
        """More than half of what an engine does."""
        return self._key.sign(digest, _PADDING, _PREHASHED)

    def _list(self, names: list[bytes]) -> str:
        """The h= tag; From stands there once more than in the mail, so that no second one can be added."""
        key = tuple(names)
        if (found := self._names.get(key)) is None:
            lines = [""]
            for name in [*names, b"from"]:
                word = name.decode("ascii")
                if len(lines[-1]) + len(word) > 70:
                    lines.append("")
                lines[-1] += word + ":"
            found = "\r\n\t".join(lines).removesuffix(":")
            if len(self._names) < 1000:
                self._names[key] = found
        return found


def new_key() -> tuple[bytes, str]:
    """A new RSA 2048 key: (private key as PKCS #8 PEM, public key as base64 of its DER form)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, base64.b64encode(public).decode()


def txt_record(public: str) -> str:
    """What to publish at selector._domainkey.domain (RFC 6376 §3.6.1); in DNS, in strings of at most 255 bytes."""
    return f"v=DKIM1; k=rsa; p={public}"
