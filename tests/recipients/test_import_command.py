"""manage.py import_recipients."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from delivery.models import GroupImport, RecipientGroup
from delivery.services import recipients
from tests.recipients.files import numbered


def run(*arguments: str, terminal: bool = False) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    if terminal:
        err.isatty = lambda: True  # type: ignore[method-assign]
    call_command("import_recipients", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_bytes(numbered(10_001) + b"nobody,X\n")
    return path


@pytest.mark.django_db
def test_imports_more_rows_than_the_page_takes_and_reports(people: Path):
    RecipientGroup.objects.create(name="Spring")
    out, _err = run("Spring", str(people))
    assert "Spring: 10,002 rows" in out and "rows/s" in out
    assert "valid 10,001, repeated 0, malformed 1" in out
    assert "line 10003: 'nobody'" in out
    assert RecipientGroup.objects.get().size == 10_001


@pytest.mark.django_db
def test_shows_a_bar_on_a_terminal(people: Path, monkeypatch):
    monkeypatch.setattr("delivery.management.commands.import_recipients.monotonic", iter(range(10**6)).__next__)
    _out, err = run("Spring", str(people), "--create", terminal=True)
    assert "\r" in err and "100%  10,002 rows" in err and "█" in err


@pytest.mark.django_db
def test_finds_the_group_by_id_and_makes_it_only_when_told(people: Path):
    group = RecipientGroup.objects.create(name="Spring")
    run(str(group.pk), str(people))
    with pytest.raises(CommandError, match="--create"):
        run("Autumn", str(people))
    run("Autumn", str(people), "--create")
    assert RecipientGroup.objects.get(name="Autumn").size == 10_001


@pytest.mark.django_db
def test_takes_the_encoding_as_told(tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_bytes("メール,name\nann@example.com,山田\n".encode("cp932"))
    run("Spring", str(path), "--create", "--encoding", "shift_jis")
    assert RecipientGroup.objects.get().recipients.get().variables == {"name": "山田"}
    assert GroupImport.objects.get().encoding == "Shift_JIS"
    with pytest.raises(CommandError, match="not in UTF-8"):
        run("Spring", str(path), "--encoding", "utf-8")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), (b"", "is empty"), (b"ann@example.com\n", "no header")]
)
def test_a_bad_file_is_told_and_leaves_no_group_behind(tmp_path: Path, content: bytes | None, says: str):
    path = tmp_path / "people.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError, match=says):
        run("Spring", str(path), "--create")
    assert not RecipientGroup.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_was_stored_before_an_error_stays_and_running_again_goes_on(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(recipients.import_recipients, "__kwdefaults__", {**_DEFAULTS, "chunk": 10})
    path = tmp_path / "people.csv"
    path.write_bytes(numbered(25) + b'cy@example.com,"open\n')
    with pytest.raises(CommandError, match=r"line 27 .* 20 rows were stored before"):
        run("Spring", str(path), "--create")
    group = RecipientGroup.objects.get()
    assert group.size == group.recipients.count() == 20
    path.write_bytes(numbered(25))
    out, _err = run("Spring", str(path))
    assert "valid 5, repeated 20" in out
    assert [(record.total, record.valid) for record in GroupImport.objects.order_by("id")] == [(20, 20), (25, 5)]


_DEFAULTS = dict(recipients.import_recipients.__kwdefaults__)
