"""The encodings of uploaded tables: by mark, told, and detected."""

from __future__ import annotations

import codecs

import pytest

from delivery.services.recipient_files import RecipientFileError, read_recipients
from tests.recipients.files import read

JAPANESE = "メール,name,city\nann@example.com,山田太郎,東京都\nbob@example.com,さくら,カナガワ\n"
CHINESE = "邮箱,name,city\nann@example.com,张伟,北京市\nbob@example.com,王秀英,上海，浦东\n"
WESTERN = "email,name,city\nann@example.com,José García,Málaga\nbob@example.com,Jürgen Groß,Köln\n"


def names(content: bytes, encoding: str | None = None) -> tuple[str, list[str]]:
    file = read_recipients(content, "people.csv", encoding=encoding)
    return file.sheet.encoding, [row.variables["name"] for row in file]


@pytest.mark.parametrize("text", [JAPANESE, CHINESE, WESTERN])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lambda text: text.encode(), "utf-8"),
        (lambda text: codecs.BOM_UTF8 + text.encode(), "utf-8"),
        (lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"), "utf-16"),
        (lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"), "utf-16"),
    ],
)
def test_unicode_is_known_by_its_mark_or_by_itself(text: str, content, expected: str):
    found = [line.split(",")[1] for line in text.splitlines()[1:]]
    assert names(content(text)) == (expected, found)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (JAPANESE, "shift_jis"),
        ("email,name\nann@example.com,田中\n", "shift_jis"),
        ("email,name\nann@example.com,髙橋一郎①\n", "shift_jis"),
        ("email,name\nann@example.com,ヤマダ ﾀﾛｳ 様\n", "shift_jis"),
        (CHINESE, "gb18030"),
        ("email,name\nann@example.com,李娜\n", "gb18030"),
        (WESTERN, "latin-1"),
        ("email,name\nann@example.com,Müller\n", "latin-1"),
        ("email,name\nann@example.com,Jérôme\n", "latin-1"),
        ("email,name\nann@example.com,Pat O’Brien\n", "latin-1"),
        ("email,name\nann@example.com,João Conceição\n", "latin-1"),
        ("email,name\nann@example.com,Bjørn Åse – “Zoë”\n", "latin-1"),
    ],
)
def test_national_encodings_are_detected_and_taken_when_told(text: str, encoding: str):
    codec = {"shift_jis": "cp932", "latin-1": "cp1252"}.get(encoding, encoding)
    found = [line.split(",")[1] for line in text.splitlines()[1:]]
    assert names(text.encode(codec)) == (encoding, found)
    assert names(text.encode(codec), encoding) == (encoding, found)


def test_other_names_of_an_encoding_are_understood():
    content = JAPANESE.encode("cp932")
    assert names(content, "SJIS")[0] == names(content, "Shift-JIS")[0] == "shift_jis"
    assert names(CHINESE.encode("gbk"), "GBK")[0] == "gb18030"
    assert names(WESTERN.encode("latin-1"), "iso-8859-1")[0] == "latin-1"


def test_the_encoding_is_told_by_what_stands_far_below():
    plain = "".join(f"p{n}@example.com,Plain\n" for n in range(9_000))
    text = f"email,name\n{plain}ann@example.com,山田さくら\n"
    assert names(text.encode("cp932"))[1][-1] == "山田さくら"


@pytest.mark.parametrize(
    ("content", "encoding", "says"),
    [
        (JAPANESE.encode("cp932"), "utf-8", "not in UTF-8"),
        (WESTERN.encode("cp1252"), "shift_jis", "not in Shift_JIS"),
        (codecs.BOM_UTF8 + WESTERN.encode("cp1252"), None, "could not tell"),
        (codecs.BOM_UTF16_LE + b"odd", None, "could not tell"),
        ("email,name\na@example.com,Иван Петров\n".encode("cp1251"), None, "could not tell"),
        (WESTERN.encode(), "klingon", "Choose one of: UTF-8, UTF-16"),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_what_to_do(content: bytes, encoding: str | None, says: str):
    with pytest.raises(RecipientFileError, match=says) as caught:
        read(content, encoding=encoding)
    assert caught.value.code == "encoding"


def test_half_a_file_in_another_encoding_is_refused_before_any_row_is_read():
    content = ("email,name\n" + "ann@example.com,山\n" * 20_000).encode() + b"bob@example.com,\xff\xfe\n"
    with pytest.raises(RecipientFileError):
        read_recipients(content, "people.csv", limit=None)
