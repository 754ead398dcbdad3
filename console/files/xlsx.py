"""Rows as a workbook (.xlsx) to download."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from django.http import HttpResponse

from console.files.lines import defused

TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def workbook_download(filename: str, rows: Iterable[Sequence[object]], *, title: str) -> HttpResponse:
    """One sheet, held in memory: for files of some hundred rows. Texts stay texts, whatever they begin with."""
    from openpyxl import Workbook  # not above: every process would take its time and memory to start

    book = Workbook(write_only=True)
    # Excel takes 31 characters, and none of these.
    sheet = book.create_sheet("".join("-" if one in "[]:*?/\\" else one for one in title)[:31])
    for row in rows:
        sheet.append([defused(cell) for cell in row])
    made = io.BytesIO()
    book.save(made)
    response = HttpResponse(made.getvalue(), content_type=TYPE)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response
