"""Putting addresses and domains on a list by hand and from files: what goes in, what is refused, what is said of it."""

from __future__ import annotations

import csv
import datetime as dt
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.files.encodings import UnreadableFile
from console.models import Account, ApiUser
from suppression import uploads
from suppression.models import Change, Entry, Upload
from suppression.uploads import Where, key_of
from tests.factories.suppression import EntryFactory
from tests.recipients.files import workbook

pytestmark = pytest.mark.django_db


def file(content: bytes, name: str = "list.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def keys(which: str = Entry.List.BLOCK) -> set[str]:
    return set(Entry.objects.filter(list=which).values_list("key", flat=True))


def test_typed_addresses_and_domains_are_blocked_for_all(operator: Client) -> None:
    lines = "Ann@Example.com\n\n  example.org \n@Bücher.example\n*@rival.example\r\nann@example.com"
    answer = operator.post("/blocks/add/", {"lines": lines, "reason": "by phone"}, follow=True)
    assert "4 entries are added. 1 was there already." in answer.content.decode()
    assert keys() == {"ann@example.com", "@example.org", "@xn--bcher-kva.example", "@rival.example"}
    entry = Entry.objects.get(key="@example.org")
    assert (entry.domain, entry.api_user, entry.expires_at, entry.reason) == ("example.org", None, None, "by phone")
    assert entry.changed_by.username == "operator"
    change = Change.objects.get()
    assert (change.action, change.count, change.made_by, change.upload) == (
        "added",
        4,
        "operator",
        Upload.objects.get(),
    )


def test_a_block_may_hold_for_one_api_user_and_until_the_end_of_a_day(operator: Client) -> None:
    Account.objects.update_or_create(pk=1, defaults={"time_zone": "Asia/Tokyo"})
    user = ApiUser.objects.create(name="shop", type="batch")
    last = timezone.localdate() + dt.timedelta(days=3)
    operator.post("/blocks/add/", {"lines": "ann@example.com", "api_user": user.pk, "expires": str(last)})
    entry = Entry.objects.get()
    assert entry.api_user == user
    wall = entry.expires_at.astimezone(Account.current().zone)
    assert (wall.date(), wall.time()) == (last + dt.timedelta(days=1), dt.time())


def test_a_day_that_is_over_is_refused(operator: Client) -> None:
    answer = operator.post("/blocks/add/", {"lines": "ann@example.com", "expires": "2020-01-01"})
    assert answer.status_code == 422
    assert "This day is over" in answer.content.decode()
    assert not Entry.objects.exists()


@pytest.mark.parametrize(
    ("url", "which", "days"),
    [
        ("/spam-reports/add/", Entry.List.SPAM_REPORT, {"ann@example.com": 180, "bea@qq.com": 180}),
        ("/bounced/add/", Entry.List.BOUNCE, {"ann@example.com": 30, "bea@qq.com": 1}),
        ("/unsubscriptions/add/", Entry.List.UNSUBSCRIPTION, {"ann@example.com": None, "bea@qq.com": None}),
    ],
)
def test_each_list_has_its_own_expiry(operator: Client, url: str, which: str, days: dict[str, int | None]) -> None:
    operator.post(url, {"lines": "\n".join(days)})
    assert keys(which) == set(days)
    for entry in Entry.objects.all():
        lasts = (entry.expires_at - entry.latest_at).days if entry.expires_at else None
        assert (lasts, entry.hits) == (days[entry.key], 1)


def test_what_is_there_already_is_renewed_and_in_force_again(operator: Client) -> None:
    old = timezone.now() - dt.timedelta(days=50)
    entry = EntryFactory(
        key="ann@example.com", list=Entry.List.BOUNCE, hits=2, created_at=old, expires_at=old, intercepted=False
    )
    operator.post("/bounced/add/", {"lines": "ann@example.com"})
    entry.refresh_from_db()
    assert (entry.hits, entry.intercepted, entry.created_at) == (2, True, old)
    assert (entry.expires_at - entry.latest_at).days == 60


def test_only_the_block_list_takes_domains(operator: Client) -> None:
    answer = operator.post("/unsubscriptions/add/", {"lines": "example.org\nann@example.com"}, follow=True)
    assert "There is no @" in answer.content.decode()
    assert keys(Entry.List.UNSUBSCRIPTION) == {"ann@example.com"}


def test_malformed_lines_are_listed_with_line_and_reason_and_can_be_downloaded(operator: Client) -> None:
    lines = "ann@example.com\nann bea@example.com\n\n=cmd()@\nbea@example.com, cid@example.com"
    answer = operator.post("/blocks/add/", {"lines": lines}, follow=True)
    text = answer.content.decode()
    assert "3 rows were not taken." in text
    upload = Upload.objects.get()
    assert (upload.total, upload.added, upload.malformed, upload.repeated) == (4, 1, 3, 0)
    assert [row[0] for row in upload.errors] == [2, 4, 5]
    download = operator.get(f"/blocklist/uploads/{upload.pk}/malformed.csv")
    rows = list(csv.reader(io.StringIO(b"".join(download).decode("utf-8-sig"))))  # type: ignore[arg-type]
    assert rows[0] == ["line", "value", "reason"]
    assert rows[1][:2] == ["2", "ann bea@example.com"]
    assert rows[2][:2] == ["4", "'=cmd()@"]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"ann@example.com\nexample.org\n", "plain.txt"),
        (b"email,name\nann@example.com,Ann\nexample.org,\n", "list.csv"),
        (b"name;address\nAnn;ann@example.com\nOrg;example.org\n", "list.csv"),
        ("name,メール\nアン,ann@example.com\n,example.org\n".encode("shift_jis"), "list.csv"),
        (workbook(["Email"], ["ann@example.com"], ["example.org"]), "list.xlsx"),
    ],
)
def test_files_of_many_kinds_go_in(operator: Client, content: bytes, name: str) -> None:
    operator.post("/blocks/add/", {"file": file(content, name)})
    assert keys() == {"ann@example.com", "@example.org"}
    assert Upload.objects.get().filename == name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a table"),
        (b'ann@example.com\n"bea@example.com\n', "never closed"),
        (b"PK\x03\x04 broken", "workbook"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_says_so_and_nothing_goes_in(
    operator: Client, content: bytes, said: str
) -> None:
    answer = operator.post("/blocks/add/", {"file": file(content)})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not Entry.objects.exists()
    assert not Upload.objects.exists()


def test_nothing_and_both_are_refused(operator: Client) -> None:
    assert "Type at least one address" in operator.post("/blocks/add/", {"lines": " \n"}).content.decode()
    both = {"lines": "ann@example.com", "file": file(b"bea@example.com")}
    assert "not both" in operator.post("/blocks/add/", both).content.decode()
    assert not Entry.objects.exists()


def test_more_rows_than_are_taken_at_once_are_refused_with_the_command_named(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads.take, "__kwdefaults__", {**uploads.take.__kwdefaults__, "limit": 10})
    content = b"".join(b"p%d@example.com\n" % n for n in range(11))
    answer = operator.post("/blocks/add/", {"file": file(content)})
    assert "more than 10 rows" in answer.content.decode()
    assert "import_suppressions" in answer.content.decode()
    assert not Entry.objects.exists()


def test_a_reason_of_the_unsubscribe_page_can_be_chosen(operator: Client) -> None:
    operator.post("/unsubscriptions/add/", {"lines": "ann@example.com", "reason": "not_mine"})
    assert Entry.objects.get().reason == "not_mine"
    assert "not my subscription" in operator.get("/unsubscriptions/").content.decode()


@given(content=st.binary(max_size=400) | st.text(max_size=300).map(str.encode))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_is_taken_or_refused_and_every_row_is_accounted_for(content: bytes) -> None:
    upload = Upload(list=Entry.List.BLOCK, made_at=timezone.now())
    try:
        guess, _first, rows = uploads.look(uploads.open_sheet(content, "list.csv"))
        uploads.take(rows, guess.layout, Where(kind=Entry.List.BLOCK), upload, now=timezone.now(), by=None)
    except UnreadableFile as error:
        assert error.message
        return
    assert upload.total == upload.added + upload.repeated + upload.malformed
    assert len(upload.errors) == upload.malformed
    Upload.objects.get(pk=upload.pk)
    Entry.objects.all().delete()


@given(
    addresses=st.lists(
        st.tuples(
            st.text("abcXYZ.+ @,", min_size=1, max_size=12), st.sampled_from(["example.com", "Example.ORG", "x"])
        ),
        max_size=20,
    )
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_typed_lines_and_a_file_of_them_come_to_the_same(addresses: list[tuple[str, str]]) -> None:
    lines = [f"{local}@{domain}" for local, domain in addresses if "," not in local and local.strip()]
    expected = set()
    for line in lines:
        try:
            expected.add(key_of(line, domains=True))
        except ValueError:
            continue
    upload = Upload(list=Entry.List.BLOCK, made_at=timezone.now())
    try:
        guess, _first, rows = uploads.look(uploads.open_sheet("\n".join(lines).encode(), "list.txt"))
    except UnreadableFile:
        assert not lines
        return
    uploads.take(rows, guess.layout, Where(kind=Entry.List.BLOCK), upload, now=timezone.now(), by=None)
    assert keys() == expected
    Entry.objects.all().delete()
