"""What the columns of a table are, by what people and mail services call them. Pure."""

from __future__ import annotations

import re
from typing import Final

# What people call the column of the address, less blanks and marks.
_ADDRESS: Final = frozenset(
    {
        *("email", "emails", "mail", "emailaddress", "mailaddress", "address", "recipient", "to", "emailadresse"),
        *(
            "メール",
            "メールアドレス",
            "eメール",
            "アドレス",
            "宛先",
            "邮箱",
            "邮箱地址",
            "电子邮件",
            "电子邮箱",
            "邮件地址",
        ),
        *(
            "correo",
            "correoelectronico",
            "correoelectrónico",
            "courriel",
            "adressemail",
            "endereçodeemail",
            "mejl",
            "epost",
        ),
    }
)


def plain(name: str) -> str:
    """The name of a column without case, blanks and marks."""
    return re.sub(r"[\W_]", "", name).lower()


def names_an_address(name: str) -> bool:
    """Whether a column so called holds the recipient's address."""
    return plain(name) in _ADDRESS
