"""What the columns of exported suppression lists are, guessed by their names and by what stands in them."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression import columns
from suppression.columns import Guess, Layout, guess, list_named, read_time

SES = [
    ["EmailAddress", "Reason", "LastUpdateTime"],
    ["ann@example.com", "BOUNCE", "2026-01-17T08:58:33.123000+00:00"],
    ["bea@example.com", "COMPLAINT", "2026-01-18T08:58:33.123000+00:00"],
]
SES_IMPORT_JOB = [["ann@example.com", "BOUNCE"], ["bea@example.com", " COMPLAINT"]]
SENDGRID_BOUNCES = [
    ["status", "reason", "email", "created"],
    ["5.1.1", "550 5.1.1 The email account that you tried to reach does not exist", "ann@example.com", "1737100713"],
    ["4.0.0", "unable to get mx info: failed to get IPs from PTR record", "bea@example.com", "1737100714"],
]
SENDGRID_UNSUBSCRIBES = [["email", "created"], ["ann@example.com", "1737100713"]]
MAILGUN_BOUNCES = [
    ["address", "code", "error", "created_at"],
    ["ann@example.com", "550", "No such mailbox", "Fri, 21 Oct 2011 11:02:55 GMT"],
]
MAILGUN_UNSUBSCRIBES = [["address", "tags", "created_at"], ["ann@example.com", "*", "Fri, 21 Oct 2011 11:02:55 UTC"]]
MAILGUN_COMPLAINTS = [["address", "created_at"], ["ann@example.com", "Fri, 21 Oct 2011 11:02:55 UTC"]]
POSTMARK = [
    ["EmailAddress", "SuppressionReason", "Origin", "CreatedAt"],
    ["ann@example.com", "HardBounce", "Recipient", "2019-12-17T08:58:33-05:00"],
    ["bea@example.com", "ManualSuppression", "Customer", "2019-12-17T08:58:33-05:00"],
]
MAILCHIMP_UNSUBSCRIBED = [
    ["Email Address", "First Name", "MEMBER_RATING", "OPTIN_TIME", "UNSUB_TIME", "UNSUB_REASON", "LEID"],
    ["ann@example.com", "Ann", "2", "2015-01-01 10:00:00", "2020-03-01 10:00:00", "NORMAL", "1"],
]
MAILCHIMP_CLEANED = [
    ["Email Address", "First Name", "CLEAN_TIME", "CLEAN_CAMPAIGN_TITLE"],
    ["ann@example.com", "Ann", "2020-03-01 10:00:00", "Spring"],
]
MANDRILL = [
    ["email", "reason", "detail", "created_at", "last_event_at", "expires_at"],
    ["ann@example.com", "hard-bounce", "550 mailbox unavailable", "2020-03-01 10:00:00", "2020-03-02 10:00:00", ""],
    ["bea@example.com", "unsub", "", "2020-03-01 10:00:00", "2020-03-02 10:00:00", ""],
]


@pytest.mark.parametrize(
    ("rows", "filename", "expected"),
    [
        (SES, "list.csv", Guess(Layout(True, 0, 1, None, 2), "", "Amazon SES")),
        (SES_IMPORT_JOB, "list.csv", Guess(Layout(False, 0, 1, None, None), "", "")),
        (SENDGRID_BOUNCES, "suppression.csv", Guess(Layout(True, 2, None, 1, 3), "bounce", "SendGrid")),
        (
            SENDGRID_UNSUBSCRIBES,
            "global_unsubscribes.csv",
            Guess(Layout(True, 0, None, None, 1), "unsubscription"),
        ),
        (SENDGRID_UNSUBSCRIBES, "suppression_spam_reports.csv", Guess(Layout(True, 0, None, None, 1), "spam_report")),
        (MAILGUN_BOUNCES, "x.csv", Guess(Layout(True, 0, None, 2, 3), "bounce", "Mailgun")),
        (MAILGUN_UNSUBSCRIBES, "x.csv", Guess(Layout(True, 0, None, None, 2), "unsubscription", "Mailgun")),
        (MAILGUN_COMPLAINTS, "x.csv", Guess(Layout(True, 0, None, None, 1), "spam_report", "Mailgun")),
        (POSTMARK, "x.csv", Guess(Layout(True, 0, 1, 2, 3), "", "Postmark")),
        (MAILCHIMP_UNSUBSCRIBED, "x.csv", Guess(Layout(True, 0, None, 5, 4), "unsubscription", "Mailchimp")),
        (MAILCHIMP_CLEANED, "x.csv", Guess(Layout(True, 0, None, None, 2), "bounce", "Mailchimp")),
        (MANDRILL, "rejects.csv", Guess(Layout(True, 0, 1, 2, 3), "", "Mandrill")),
        ([["ann@example.com"], ["bea@example.com"]], "bounced.txt", Guess(Layout(False, 0), "bounce")),
        ([["example.org"], ["example.net"]], "blocklist.txt", Guess(Layout(False, 0), "block")),
        ([["domain"], ["example.org"]], "x.txt", Guess(Layout(True, 0))),
        ([["Ann", "ann@example.com"], ["Bea", "bea@example.com"]], "x.csv", Guess(Layout(False, 1))),
        ([["名前", "メールアドレス"], ["山田", "taro@example.jp"]], "x.csv", Guess(Layout(True, 1))),
    ],
)
def test_exports_of_known_services_and_plain_lists_are_recognised(
    rows: list[list[str]], filename: str, expected: Guess
) -> None:
    assert guess(rows, filename) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *[(word, "bounce") for word in ("BOUNCE", "HardBounce", "hard-bounce", "cleaned", "Invalid", "permanent")],
        *[(word, "spam_report") for word in ("COMPLAINT", "SpamComplaint", "spam", "abuse")],
        *[(word, "unsubscription") for word in ("unsub", "Unsubscribed", "opt-out")],
        *[(word, "block") for word in ("ManualSuppression", "blocked", "custom")],
        *[(word, "") for word in ("soft-bounce", "Transient", "", "rule", "delivered")],
    ],
)
def test_a_services_word_names_the_list(word: str, expected: str) -> None:
    assert list_named(word) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-12-17T08:58:33-05:00", dt.datetime(2019, 12, 17, 13, 58, 33, tzinfo=dt.UTC)),
        ("2019-12-17T08:58:33Z", dt.datetime(2019, 12, 17, 8, 58, 33, tzinfo=dt.UTC)),
        ("2019-12-17 08:58:33", dt.datetime(2019, 12, 17, 8, 58, 33, tzinfo=dt.UTC)),
        ("2019-12-17 08:58:33 UTC", dt.datetime(2019, 12, 17, 8, 58, 33, tzinfo=dt.UTC)),
        ("2019-12-17", dt.datetime(2019, 12, 17, tzinfo=dt.UTC)),
        ("1576573113", dt.datetime(2019, 12, 17, 8, 58, 33, tzinfo=dt.UTC)),
        ("1576573113000", dt.datetime(2019, 12, 17, 8, 58, 33, tzinfo=dt.UTC)),
        ("Tue, 17 Dec 2019 08:58:33 GMT", dt.datetime(2019, 12, 17, 8, 58, 33, tzinfo=dt.UTC)),
        ("Mon, 01 Jan 0001 00:00:00 UTC", None),
        ("", None),
        ("soon", None),
        ("5", None),
        ("99999999999999999", None),
        ("1970-01-01", None),
        ("9999-12-31T23:59:59-12:00", None),
    ],
)
def test_times_are_read_as_services_write_them(text: str, expected: dt.datetime | None) -> None:
    assert read_time(text) == expected


@given(st.text(max_size=70))
def test_no_text_breaks_the_reading_of_times_and_words(text: str) -> None:
    found = read_time(text)
    assert found is None or found.tzinfo is dt.UTC
    assert list_named(text) in {"", "bounce", "block", "spam_report", "unsubscription"}


@given(st.lists(st.lists(st.text(max_size=20), max_size=6), max_size=8), st.text(max_size=20))
def test_no_table_breaks_the_guess(rows: list[list[str]], filename: str) -> None:
    found = guess(rows, filename).layout
    width = max(map(len, rows), default=1)
    places = [place for place in (found.address, found.kind, found.reason, found.since) if place is not None]
    assert len(set(places)) == len(places)
    assert all(0 <= place < max(width, 1) for place in places)


def test_columns_that_services_use_are_plain_names() -> None:
    names = columns._ADDRESS | columns._DOMAIN | columns._REASON | columns._KIND | columns._SINCE
    assert {columns.plain(name) for name in names} == names
