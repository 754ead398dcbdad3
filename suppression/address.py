"""An e-mail address in its one canonical form. Pure.

An address is parsed once, where it enters (a form, a file, a bounce mail), and is an `Address` or its text from then
on. Syntax is RFC 5321 §4.1.2 and RFC 6531 §3.3, without what no mailbox provider uses and what breaks out of headers:
quoted local parts, comments, domain literals. Whether a domain exists is not asked here.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import email_validator

# Special-use names (.test, .invalid, .local: RFC 6761) are right in the simulator and on company networks. Emptying
# the list is the library's documented way to allow them.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

MAX_LENGTH = 254  # octets, RFC 5321 §4.5.3.1.3 less the angle brackets (RFC 3696 erratum 1690)
MAX_LOCAL = 64  # octets, RFC 5321 §4.5.3.1.1

# What may be wrong, and what to do about it. A page may translate by the code.
REASONS: Final = {
    "empty": "There is no address. Enter one like ann@example.com.",
    "control": "It contains a line break or another invisible character. Type the address again.",
    "display_name": "Enter the address alone, without a name or angle brackets: ann@example.com.",
    "several": "It contains a comma or semicolon. Enter one address only.",
    "mailto": "Leave out “mailto:”.",
    "space": "It contains a space. Take the space out.",
    "no_at": "There is no @. An address looks like ann@example.com.",
    "several_at": "It has more than one @. Enter one address only.",
    "no_local": "Nothing stands before the @.",
    "no_domain": "Nothing stands after the @.",
    "quoted": "Addresses in quotation marks are not supported. Take the quotation marks out.",
    "damaged": "A character was lost on the way. Choose the file's encoding, or type the address again.",
    "ip_literal": "The part after the @ must be a domain name, not an IP address.",
    "local_dots": "The part before the @ may not begin or end with a dot, or have two dots in a row.",
    "local": "The part before the @ contains a character that is not allowed in an address.",
    "local_long": "The part before the @ is longer than 64 bytes.",
    "long": "The address is longer than 254 bytes.",
    "domain_dot": "The domain is not complete: it needs a dot and an ending such as .com.",
    "domain": "The part after the @ is not a valid domain name. Check its spelling.",
}


class MalformedAddress(ValueError):
    """The text is no address that mail can be sent to. `reason` says what to do; `code` is a key of REASONS."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.reason = REASONS[code]
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class Address:
    """`local` as typed, in NFC; `domain` in lower-case A-labels, so always ASCII. Made by `parse` only."""

    local: str
    domain: str

    @property
    def canonical(self) -> str:
        """The address as it is mailed."""
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """The address's identity: two addresses are one recipient when their keys are equal."""
        if self.local.isascii():
            return f"{self.local.lower()}@{self.domain}"
        # "ΑΣ" is the upper case of both "ασ" and "ας"; lower() alone would make them two.
        return f"{unicodedata.normalize('NFC', self.local.lower().replace('ς', 'σ'))}@{self.domain}"

    @property
    def ascii(self) -> bool:
        """False where a server needs SMTPUTF8 (RFC 6531)."""
        return self.local.isascii()

    def __str__(self) -> str:
        return self.canonical


_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Nearly every address there is; what it doesn't match is looked at closely.
_ORDINARY = re.compile(rf"({_ATEXT}(?:\.{_ATEXT})*)@((?:{_LABEL}\.)+[A-Za-z]{{2,63}})", re.IGNORECASE | re.ASCII)
# Blanks and invisible marks that copying from a spreadsheet or a web page leaves at the ends; no line breaks.
_TRIM = " \t\u00a0\u3000\ufeff\u200b\u200c\u200d\u2060\u200e\u200f\u00ad"
_ENDS_IN_LETTER = re.compile(r"[a-z]\Z")
_SPECIALS = re.compile(r'[\x00-\x20\x7f,;:<>()\[\]\\"@]')
# Box drawings and the replacement character: what is left of a letter that was read in the wrong encoding.
_DAMAGE = re.compile("[\u2500-\u257f\ufffd]")


def parse(text: str) -> Address:
    """The address in `text`, blanks around it left out. Raises MalformedAddress."""
    text = text.strip(_TRIM)
    match = _ORDINARY.fullmatch(text)
    if match is not None:
        local, domain = match.groups()
        # Two dashes make a label that IDNA has rules for (RFC 5890 §2.3.1).
        if len(local) <= MAX_LOCAL and len(text) <= MAX_LENGTH and "--" not in domain:
            return Address(local, domain.lower())
    return _parse_closely(text)


def key_of(canonical: str) -> str:
    """The key of an address that was made canonical when it entered (Address.canonical); nothing is checked again."""
    local, _at, domain = canonical.rpartition("@")
    return Address(local, domain).key


def is_address(text: str) -> bool:
    """Whether `parse` would take it."""
    try:
        parse(text)
    except MalformedAddress:
        return False
    return True


def receiving_domain(address: Address | str) -> str:
    """The domain whose servers take the address's mail. A text must be canonical."""
    return address.domain if isinstance(address, Address) else address.rpartition("@")[2]


_PROVIDERS: Final = {"qq.com": "tencent", "vip.qq.com": "tencent", "foxmail.com": "tencent"}


def mailbox_provider(domain: str) -> str:
    """Who keeps the mailboxes of a canonical domain, as far as its name tells: "tencent", or "" where it doesn't."""
    return _PROVIDERS.get(domain, "")


def domains_of(provider: str) -> list[str]:
    """The domains by whose names a provider of mailboxes is known."""
    return [domain for domain, name in _PROVIDERS.items() if name == provider]


def _parse_closely(text: str) -> Address:
    _refuse_the_obvious(text)
    local, _, domain = text.rpartition("@")
    try:
        found = email_validator.validate_email(
            text,
            strict=True,
            check_deliverability=False,
            globally_deliverable=False,  # its rule on dots would refuse localhost; ours is below
        )
    except email_validator.EmailSyntaxError:
        raise MalformedAddress(_fault_of(local, domain)) from None
    # Not found.local_part: the library lower-cases "INFO" and the like, and the local part is the owner's to spell.
    address = Address(unicodedata.normalize("NFC", local), (found.ascii_domain or "").lower())
    if "." not in address.domain and address.domain != "localhost":
        raise MalformedAddress("domain_dot")
    if not _ENDS_IN_LETTER.search(address.domain) and not address.domain.rpartition(".")[2].startswith("xn--"):
        raise MalformedAddress("domain")
    # Normalising can turn a harmless character into one that isn't (U+037E becomes ";"): look at the outcome as well.
    if _SPECIALS.search(address.local) or _invisible(address.local):
        raise MalformedAddress("local")
    if len(address.local.encode()) > MAX_LOCAL:  # the library counts characters, SMTP counts octets
        raise MalformedAddress("local_long")
    if len(address.canonical.encode()) > MAX_LENGTH:
        raise MalformedAddress("long")
    return address


def _refuse_the_obvious(text: str) -> None:
    """The mistakes that people make, each with its own advice."""
    if not text:
        raise MalformedAddress("empty")
    if len(text) > 4 * MAX_LENGTH:
        raise MalformedAddress("long")
    if _invisible(text.replace(" ", "").replace("\u3000", "").replace("\u00a0", "")):
        raise MalformedAddress("control")
    if _DAMAGE.search(text):
        raise MalformedAddress("damaged")
    if "<" in text or ">" in text:
        raise MalformedAddress("display_name")
    if '"' in text:
        raise MalformedAddress("quoted")
    if text.lower().startswith("mailto:"):
        raise MalformedAddress("mailto")
    if "," in text or ";" in text:
        raise MalformedAddress("several")
    if any(unicodedata.category(character) == "Zs" for character in text):
        raise MalformedAddress("space")
    if "@" not in text:
        raise MalformedAddress("no_at")
    if text.count("@") > 1:
        raise MalformedAddress("several_at")
    local, _, domain = text.partition("@")
    if not local:
        raise MalformedAddress("no_local")
    if not domain:
        raise MalformedAddress("no_domain")
    if "[" in domain or "]" in domain:
        raise MalformedAddress("ip_literal")


def _invisible(text: str) -> bool:
    """Controls, line separators, surrogates, unassigned and private characters, marks that reverse the direction."""
    return any(unicodedata.category(character) in _INVISIBLE for character in text)


_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _fault_of(local: str, domain: str) -> str:
    """The code of what is wrong with an address that the library refused."""
    if len(local.encode()) > MAX_LOCAL:
        return "local_long"
    if len(local.encode()) + len(domain.encode()) + 1 > MAX_LENGTH:
        return "long"
    if local.startswith(".") or local.endswith(".") or ".." in local:
        return "local_dots"
    try:
        email_validator.validate_email(f"{local}@example.com", strict=True, check_deliverability=False)
    except email_validator.EmailSyntaxError:
        return "local"
    return "domain"
