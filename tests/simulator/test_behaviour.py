from __future__ import annotations

import pytest

from delivery.simulator.behaviour import BEHAVIOURS, REMEMBERED, Mailboxes, behaviour_of
from delivery.simulator.server import Simulator
from tests.simulator.conftest import Send


@pytest.mark.parametrize(
    ("local", "reply"),
    [
        ("success", "250 2.0.0"),
        ("bounce", "550 5.1.1"),
        ("spam", "554 5.7.1"),
        ("blocked", "550 5.7.1"),
        ("rejected", "550 5.7.1"),
        ("full", "452 4.2.2"),
        ("softbounce", "250 2.0.0"),
        ("bouncelater", "250 2.0.0"),
        ("complaint", "250 2.0.0"),
        ("unsubscribe", "250 2.0.0"),
        ("ooto", "250 2.0.0"),
        ("suppressionlist", "550 5.1.1"),
        ("nobody", "550 5.1.1"),
    ],
)
def test_each_address_gives_its_answer_with_and_without_a_label(send: Send, local: str, reply: str) -> None:
    for address in (f"{local}@simulator.test", f"{local.upper()}+a.B-7@Simulator.TEST"):
        code, text = send(address)
        assert f"{code} {text}".startswith(reply)


def test_every_behaviour_of_the_table_is_answered_as_the_table_says(send: Send, simulator: Simulator) -> None:
    for behaviour in BEHAVIOURS:
        code, _text = send(behaviour.address("simulator.test"))
        assert code == (behaviour.answer.code if behaviour.answer else 250)


def test_the_same_words_do_not_stand_for_two_reasons() -> None:
    texts = [behaviour.answer.text for behaviour in BEHAVIOURS if behaviour.answer]
    assert len(texts) == len(set(texts))


def test_deferred_answers_450_twice_and_then_takes_the_mail(send: Send, simulator: Simulator) -> None:
    assert [send("deferred+a@simulator.test")[0] for _attempt in range(3)] == [450, 450, 250]
    assert [entry.outcome for entry in simulator.refused()] == ["deferred", "deferred"]
    assert [entry.recipient for entry in simulator.accepted()] == ["deferred+a@simulator.test"]


def test_deferrals_are_counted_for_each_label_apart(send: Send) -> None:
    codes = [send(f"deferred+{label}@simulator.test")[0] for label in ("a", "b", "a", "b", "a", "b")]
    assert codes == [450, 450, 450, 450, 250, 250]


def test_the_next_mail_to_an_address_that_deferred_is_put_off_again() -> None:
    mailboxes = Mailboxes("simulator.test", lambda domain: False)
    codes = [mailboxes.at_rcpt("deferred@simulator.test").code for _attempt in range(6)]
    assert codes == [450, 450, 250, 450, 450, 250]


def test_the_memory_of_deferrals_is_bounded() -> None:
    mailboxes = Mailboxes("simulator.test", lambda domain: False)
    for number in range(REMEMBERED + 10):
        mailboxes.at_rcpt(f"deferred+{number}@simulator.test")
    assert len(mailboxes._deferred) == REMEMBERED


def test_only_domains_of_the_zone_are_taken(send: Send) -> None:
    assert send("anyone@d17.sink.test")[0] == 250
    assert send("anyone@sink.test")[0] == 250
    assert send("bounce@a.sites.test")[0] == 250
    assert send("anyone@aonly.test")[0] == 250
    code, text = send("anyone@example.com")
    assert (code, text[:5]) == (550, "5.7.1")
    assert send("anyone@nullmx.test")[0] == 550


def test_spam_is_refused_only_after_the_final_dot(client, simulator: Simulator) -> None:
    client.mail("a@sender.test")
    assert client.rcpt("spam@simulator.test")[0] == 250
    assert client.data(b"Subject: x\r\n\r\nx\r\n")[0] == 554
    assert simulator.accepted() == []
    assert simulator.refused()[0].size == len(b"Subject: x\r\n\r\nx\r\n")


def test_unknown_local_parts_have_no_behaviour() -> None:
    assert behaviour_of("nobody+x") is None
    assert behaviour_of("") is None
