"""A server's certificate in a line, for the send log: whom it names, who issued it, until when, whether we cared."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

PART_MAX: Final = 120  # characters of a name: it is theirs to choose


def described(der: bytes, *, checked: bool) -> str:
    """ "mx.example.org, issued by Example CA, until 2027-01-31, checked"; "" without a certificate."""
    if not der:
        return ""
    return f"{_described(der)}, {'checked' if checked else 'not checked'}"


@lru_cache(maxsize=1024)
def _described(der: bytes) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about certificates that break the rules, as they may
            certificate = x509.load_der_x509_certificate(der)
            names = _alternative_names(certificate) or [_of(certificate.subject)]
            issuer = _of(certificate.issuer)
            until = certificate.not_valid_after_utc.date()
    except (ValueError, TypeError, x509.UnsupportedGeneralNameType):
        return "unreadable certificate"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{_clean(names[0])}{more}, issued by {_clean(issuer)}, until {until}"


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _of(name: x509.Name) -> str:
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := name.get_attributes_for_oid(oid):
            return str(found[0].value)
    return name.rfc4514_string()


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:PART_MAX]) or "nobody"
