"""Rows as a CSV file to download."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse

# What spreadsheets take for the beginning of a formula (OWASP, CSV injection), in their full-width forms, too; as
# Python and PostgreSQL read it.
FORMULA = "^[=+\\-@\\t\\r\\n＝＋－＠]"
_FORMULA = re.compile(FORMULA)
_MARK = "\ufeff"


def csv_lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The rows as lines of CSV (RFC 4180). A value that a spreadsheet would run as a formula is shown, not run."""
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow([defused(cell) for cell in row])
        yield line.getvalue()


def defused(cell: object) -> object:
    """A cell that no spreadsheet runs: text that looks like a formula begins with an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def csv_download(filename: str, lines: Iterable[str]) -> StreamingHttpResponse:
    """Lines of CSV as a file, in UTF-8 with the mark that makes spreadsheets read it so."""
    marked = (text for part in ([_MARK], lines) for text in part)
    response = StreamingHttpResponse(marked, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response
