"""What an import leaves in a group, and what it says about it."""

from __future__ import annotations

import csv
import io

import pytest

from delivery.models import GroupImport, Recipient, RecipientGroup
from delivery.services import recipients
from delivery.services.recipient_files import RecipientFileError, read_recipients
from delivery.services.recipients import errors_csv, import_recipients
from tests.factories.delivery import GroupFactory
from tests.recipients.files import numbered, workbook

pytestmark = pytest.mark.django_db


@pytest.fixture
def group() -> RecipientGroup:
    return RecipientGroup.objects.create(name="Spring")


def load(group: RecipientGroup, content: bytes | str, name: str = "people.csv", **options) -> GroupImport:
    content = content.encode() if isinstance(content, str) else content
    return import_recipients(group, read_recipients(content, name, limit=None), **options)


def stored(group: RecipientGroup) -> dict[str, dict[str, str]]:
    return {one.address: one.variables for one in group.recipients.order_by("id")}


def counts(record: GroupImport) -> tuple[int, int, int, int]:
    return record.total, record.valid, record.repeated, record.malformed


def test_valid_rows_go_in_and_bad_rows_are_listed_with_line_and_reason(group: RecipientGroup):
    record = load(group, "email,name\nAnn@Example.com,Ann\nnobody,X\nbob@müller.de,Bob\n", made_by="olga")
    assert counts(record) == (3, 2, 0, 1)
    assert stored(group) == {"Ann@example.com": {"name": "Ann"}, "bob@xn--mller-kva.de": {"name": "Bob"}}
    ann, bob = group.recipients.order_by("id")
    assert (ann.key, ann.domain, bob.domain) == ("ann@example.com", "example.com", "xn--mller-kva.de")
    saved = GroupImport.objects.get()
    assert (saved.filename, saved.encoding, saved.made_by) == ("people.csv", "UTF-8", "olga")
    ((line, value, reason),) = saved.errors
    assert (line, value) == (3, "nobody") and "no @" in reason
    assert (group.size, group.variables) == (2, ["name"])


def test_a_later_row_of_the_same_address_replaces_the_variables_and_counts_as_repeated(group: RecipientGroup):
    record = load(group, "email,name\nann@example.com,First\nbob@example.com,Bob\nANN@EXAMPLE.COM,Last\n")
    assert counts(record) == (3, 2, 1, 0)
    assert stored(group) == {"ANN@example.com": {"name": "Last"}, "bob@example.com": {"name": "Bob"}}
    assert group.size == 2


@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_repeats_are_found_across_chunks(group: RecipientGroup, chunk: int):
    record = load(group, "email,n\na@x.com,1\nb@x.com,2\nA@x.com,3\nbad\na@X.com,4\n", chunk=chunk)
    assert counts(record) == (5, 2, 2, 1)
    assert stored(group) == {"a@x.com": {"n": "4"}, "b@x.com": {"n": "2"}}


def test_importing_again_replaces_variables_and_adds_the_new(group: RecipientGroup):
    load(group, "email,name,city\nann@example.com,Ann,Rome\nbob@example.com,Bob,Oslo\n")
    first = group.recipients.get(key="ann@example.com").pk
    record = load(group, "email,name,tier\nann@example.com,Anna,gold\ncy@example.com,Cy,silver\n")
    assert counts(record) == (2, 1, 1, 0)
    assert stored(group)["ann@example.com"] == {"name": "Anna", "tier": "gold"}
    assert stored(group)["bob@example.com"] == {"name": "Bob", "city": "Oslo"}
    assert group.recipients.get(key="ann@example.com").pk == first
    assert (group.size, group.variables) == (3, ["name", "city", "tier"])


def test_the_same_file_again_is_all_repeats(group: RecipientGroup):
    content = numbered(50) + b"nobody,X\n"
    load(group, content)
    assert counts(load(group, content)) == (51, 0, 50, 1)
    assert group.size == group.recipients.count() == 50


def test_the_same_address_may_be_in_two_groups(group: RecipientGroup):
    other = RecipientGroup.objects.create(name="Other")
    load(group, "email\nann@example.com\n")
    assert counts(load(other, "email\nann@example.com\n")) == (1, 1, 0, 0)
    assert group.size == other.size == 1


def test_odd_values_are_stored_as_they_are(group: RecipientGroup):
    values = ['"; DROP TABLE x; --', "{a,b}", "\\N", '{"a": 1}', "山田\n太郎 🎉", "=1+1", "NULL", "\t"]
    text = io.StringIO()
    csv.writer(text).writerows([["email", "v"], *([f"p{n}@example.com", value] for n, value in enumerate(values))])
    load(group, text.getvalue())
    assert [one["v"] for one in stored(group).values()] == values


def test_a_file_of_bad_rows_only_is_recorded(group: RecipientGroup):
    assert counts(load(group, "email\nnobody\nno one\n")) == (2, 0, 0, 2)
    assert group.size == 0


def test_a_workbook_is_imported(group: RecipientGroup):
    record = load(group, workbook(["Email", "name"], ["ann@example.com", "アン"]), "people.xlsx")
    assert (record.valid, record.encoding) == (1, "")
    assert stored(group) == {"ann@example.com": {"name": "アン"}}


@pytest.mark.parametrize("content", [numbered(10_001), numbered(30) + b'x@example.com,"open\n'])
def test_a_file_that_turns_out_bad_leaves_nothing_behind(group: RecipientGroup, content: bytes):
    with pytest.raises(RecipientFileError):
        import_recipients(group, read_recipients(content, "people.csv"), chunk=10)
    group.refresh_from_db()
    assert (group.size, group.variables) == (0, [])
    assert not Recipient.objects.exists() and not GroupImport.objects.exists()


def test_a_deleted_group_is_told(group: RecipientGroup):
    RecipientGroup.objects.all().delete()
    with pytest.raises(RecipientGroup.DoesNotExist):
        load(group, numbered(3))


def test_progress_tells_rows_and_bytes(group: RecipientGroup):
    told: list[tuple[int, int, int]] = []
    content = numbered(25)
    load(group, content, chunk=10, progress=lambda *values: told.append(values))
    assert [rows for rows, _read, _size in told] == [10, 20, 25]
    assert told[-1][1:] == (len(content), len(content))


def test_only_so_many_malformed_rows_are_listed_but_all_are_counted(group: RecipientGroup, monkeypatch):
    monkeypatch.setattr(recipients, "ERRORS_KEPT", 5)
    record = load(group, b"email\n" + b"nobody\n" * 12, chunk=4)
    assert record.malformed == 12 and [line for line, _value, _reason in record.errors] == [2, 3, 4, 5, 6]


def test_a_large_import_takes_few_statements(group: RecipientGroup, django_assert_max_num_queries):
    with django_assert_max_num_queries(20):
        record = load(group, numbered(10_000))
    assert counts(record) == (10_000, 10_000, 0, 0)


def test_the_malformed_rows_can_be_downloaded_and_do_not_run_in_a_spreadsheet(group: RecipientGroup):
    record = load(group, 'email\n"=HYPERLINK(""x"")"\n"a, b"\nann@example.com\n')
    rows = list(csv.reader(io.StringIO("".join(errors_csv(record)))))
    assert rows[0] == ["line", "value", "reason"]
    assert [row[:2] for row in rows[1:]] == [["2", '\'=HYPERLINK("x")'], ["3", "a, b"]]


def test_the_factory_makes_a_group_with_people():
    made = GroupFactory(people=3)
    assert made.size == made.recipients.count() == 3 and made.variables == ["name"]
