"""A person who is forgotten is nowhere any more; figures, other people's mail and the lists stay."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from delivery.callbacks.outbox import Happened
from delivery.models import Attempt, CallbackEvent, GroupImport, Happening, Message, RecipientGroup
from delivery.services import callbacks
from exports.models import Export
from suppression.models import Entry, Upload
from tests.callbacks.conftest import happen
from tests.engine.world import group_of
from tests.exports.files import ask
from tests.factories.sending import attempt, message
from tracking.models import Event, FeedbackMail

pytestmark = pytest.mark.django_db

ADDRESS = "Ann.Smith@example.org"


def forget(address: str = ADDRESS, **options: bool) -> str:
    out = StringIO()
    call_command("forget_recipient", address, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def known() -> Message:
    """Ann, everywhere."""
    now = timezone.now()
    both = f"{ADDRESS}, bob@example.org"
    one = message(ADDRESS, to_field=both, subject="Dear Ann Smith", last_reply=f"250 <{ADDRESS}> ok")
    message("bob@example.org", to_field=both)
    attempt(one, reply=f"250 <{ADDRESS.lower()}> accepted")
    Event.objects.create(message_id=one.pk, kind="click", ip="203.0.113.9", user_agent="Firefox", link="https://x/?ann")
    FeedbackMail.objects.create(
        digest=b"1", received_at=now, raw=b"To: Ann.Smith", size=3, due=now, message_id=one.pk, state=1
    )
    Entry.objects.create(list=Entry.List.BOUNCE, key=ADDRESS.lower(), created_at=now, latest_at=now)
    callbacks.add(url="https://shop.example/", address=None, happenings=Happening.values)
    from delivery.callbacks import outbox

    outbox.forget()
    happen(Happened(one.pk, Happening.OPEN, now))
    group = group_of([ADDRESS, "carol@example.org"])
    wrong = [[3, f"{ADDRESS.upper()} (work)", "Enter the address alone."], [4, "bob", "There is no @ in it."]]
    GroupImport.objects.create(group=group, filename="people.csv", malformed=2, errors=wrong)
    Upload.objects.create(list=Entry.List.BOUNCE, malformed=2, errors=wrong, made_at=now)
    Upload.objects.create(filename="lists.csv", content=f"email\n{ADDRESS}\n".encode(), made_at=now)
    # Read by nobody, and about no message that anybody could prove.
    for number, state in enumerate((FeedbackMail.State.FAILED, FeedbackMail.State.DONE)):
        raw = f"To: fbl@x\n\nOriginal-Rcpt-To: <{ADDRESS.lower()}>".encode()
        FeedbackMail.objects.create(digest=b"n%d" % number, received_at=now, raw=raw, size=9, due=now, state=state)
    FeedbackMail.objects.create(digest=b"b", received_at=now, raw=b"To: bob", size=3, due=now, state=1)
    return one


def everywhere(text: str) -> list[str]:
    """The tables in which some row holds the text in some column."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text ILIKE %s', [f"%{text}%"])
            if cursor.fetchone()[0]:
                found.append(table)
    return found


def test_the_address_stands_nowhere_but_on_the_lists(known: Message) -> None:
    said = forget()
    assert everywhere("ann.smith") == ["suppression_entry"]
    assert everywhere("203.0.113.9") == []
    assert "Messages: 1" in said
    assert "kept, so that the address is not mailed again" in said
    for rows in (GroupImport.objects.exclude(malformed=0).get().errors, Upload.objects.get().errors):
        assert rows == [[3, "", "Enter the address alone."], [4, "bob", "There is no @ in it."]]


def test_what_is_counted_and_what_is_others_stays(known: Message) -> None:
    forget()
    known.refresh_from_db()
    assert known.recipient.endswith("@forgotten.invalid")
    assert known.status == "delivered"
    assert Message.objects.get(recipient="bob@example.org").to_field == f"{known.recipient}, bob@example.org"
    assert Event.objects.filter(message_id=known.pk).count() == 1
    assert Attempt.objects.get(message_id=known.pk).code == 250
    assert RecipientGroup.objects.get().size == 1
    assert not CallbackEvent.objects.exists()
    assert FeedbackMail.objects.get().raw == b"To: bob"


def test_a_dry_run_changes_nothing(known: Message) -> None:
    before = everywhere("ann.smith")
    assert "dry run" in forget(dry_run=True)
    assert everywhere("ann.smith") == before


def test_while_mail_is_under_way_nothing_is_changed(known: Message) -> None:
    message(ADDRESS, status="sending")
    with pytest.raises(CommandError, match="1 messages to this address are under way"):
        forget()
    known.refresh_from_db()
    assert known.recipient == ADDRESS


def test_an_unknown_address_and_nonsense_are_said() -> None:
    assert "Nothing is kept" in forget("nobody@example.org")
    with pytest.raises(CommandError, match="There is no @"):
        forget("nonsense")


def test_what_was_exported_of_the_address_goes_with_its_filters(known: Message) -> None:
    ask("messages", recipient=known.recipient)
    others = ask("messages", recipient="bob@example.org")
    forget()
    assert [export.pk for export in Export.objects.all()] == [others.pk]
