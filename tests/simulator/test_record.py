from __future__ import annotations

import smtplib
from pathlib import Path

from delivery.simulator import record
from delivery.simulator.record import Record, Recorder
from delivery.simulator.server import Simulator, simulator_process
from tests.simulator.conftest import Send

ENTRY = Record(1.5, "accepted", "a@b.test", "s@c.test", "<1@c.test>", 10, "127.0.0.1", "1.1", "7", "250 2.0.0 Ok")


def test_an_accepted_mail_is_recorded_with_its_envelope_and_name(client: smtplib.SMTP, simulator: Simulator) -> None:
    body = b"Subject: x\r\nMESSAGE-id:\r\n <abc@sender.test>\r\nX-Number: 42\r\n\r\nMessage-ID: not this\r\n"
    client.sendmail("b+t@bounce.sender.test", ["success+1@simulator.test", "x@d1.sink.test"], body)
    first, second = simulator.accepted()
    assert (first.recipient, second.recipient) == ("success+1@simulator.test", "x@d1.sink.test")
    assert (first.sender, first.message_id, first.number) == ("b+t@bounce.sender.test", "<abc@sender.test>", "42")
    assert (first.outcome, first.size, first.client) == ("accepted", len(body), "127.0.0.1")
    assert first.queue_id == second.queue_id
    assert simulator.mail(first) == body


def test_the_record_is_there_when_the_reply_is_read_and_survives_kill_9(tmp_path: Path) -> None:
    with simulator_process(tmp_path) as process:
        client = smtplib.SMTP("127.0.0.1", process.smtp_port, timeout=20)
        client.ehlo("sender.test")
        for number in range(50):
            client.sendmail("a@sender.test", [f"success+{number}@simulator.test"], b"Subject: x\r\n\r\nx\r\n")
        process.kill()
        client.close()
    names = [entry.recipient for entry in record.read(tmp_path / record.ACCEPTED)]
    assert names == [f"success+{number}@simulator.test" for number in range(50)]


def test_a_mark_leaves_out_what_came_before(send: Send, simulator: Simulator) -> None:
    send("success+old@simulator.test")
    send("bounce+old@simulator.test")
    marks = record.position(simulator.accepted_log), record.position(simulator.refused_log)
    send("success+new@simulator.test")
    send("bounce+new@simulator.test")
    assert [entry.recipient for entry in simulator.accepted(marks[0])] == ["success+new@simulator.test"]
    assert [entry.recipient for entry in simulator.refused(marks[1])] == ["bounce+new@simulator.test"]


def test_a_refusal_is_recorded_with_its_words(send: Send, simulator: Simulator) -> None:
    code, text = send("blocked@simulator.test")
    (entry,) = simulator.refused()
    assert (entry.outcome, entry.reply) == ("refused", f"{code} {text}")
    assert "[127.0.0.1]" in entry.reply


def test_fields_come_back_as_they_went_in_and_cannot_break_a_line(tmp_path: Path) -> None:
    odd = Record(2.0, "refused", "a\tb@x.test", "", "<\n1\x1e>", 0, "127.0.0.1", "", "é\udcff", "550 \u2028no\r\n")
    recorder = Recorder(tmp_path)
    recorder.write([ENTRY.line(), odd.line()], [])
    recorder.close()
    first, second = record.read(tmp_path / record.ACCEPTED)
    assert first == ENTRY
    assert (second.recipient, second.message_id, second.number, second.reply) == (
        "ab@x.test",
        "<1>",
        "é\udcff",
        "550 no",
    )


def test_a_torn_line_is_passed_over_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / record.ACCEPTED
    path.write_text(ENTRY.line() + "\n" + ENTRY.line()[:20])
    assert list(record.read(path)) == [ENTRY]
    recorder = Recorder(tmp_path)
    recorder.write([ENTRY.line()], [])
    recorder.close()
    assert list(record.read(path)) == [ENTRY, ENTRY]


def test_a_record_over_the_limit_is_moved_aside_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / record.ACCEPTED
    path.write_text((ENTRY.line() + "\n") * 10)
    mark = record.position(path)
    recorder = Recorder(tmp_path, rotate=100)
    recorder.write([ENTRY.line()], [])
    recorder.close()
    assert list(record.read(path, since=mark)) == [ENTRY]
    assert len(list(record.read(path.with_name("accepted.log.1")))) == 10


def test_no_record_yet_reads_as_empty(tmp_path: Path) -> None:
    assert list(record.read(tmp_path / "none")) == []
    assert record.position(tmp_path / "none") == 0
