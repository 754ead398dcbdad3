"""`check_rules` and `classify_replies` as they are run: processes with pipes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from delivery.engine.classify import RULES
from delivery.management.commands.classify_replies import answer

ROOT = Path(__file__).resolve().parents[2]


def piped(data: bytes) -> list[dict]:
    command = [sys.executable, "manage.py", "classify_replies"]
    done = subprocess.run(command, cwd=ROOT, input=data, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_line_has_its_answer_and_a_bad_one_stops_none():
    lines = [
        b'{"text": "550 5.1.1 user unknown"}',
        b"nonsense",
        b'{"text": "550 Ip frequency limited", "phase": "final dot"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"text": "' + b"x" * 3_000_000 + b'"}',
        b'{"text": "421 4.7.0 too many connections", "phase": "CONNECT"}',
    ]
    unknown, bad, rate, wrong, deep, long, busy = piped(b"\n".join(lines))
    assert unknown == {"kind": "permanent", "reason": "not_exist", "scope": "recipient", "rule": "user_unknown"}
    assert (rate["kind"], rate["reason"], rate["scope"]) == ("temporary", "ip_or_domain", "site")
    assert (busy["kind"], busy["scope"]) == ("temporary", "site")
    assert all(set(one) == {"error"} for one in (bad, wrong, deep, long))


def test_a_line_is_answered_before_the_next_is_waited_for():
    command = [sys.executable, "manage.py", "classify_replies"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for _round in range(2):
            process.stdin.write(b'{"text": "550 no such user"}\n')
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["reason"] == "not_exist"
        process.stdin.close()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"7",
        b"[]",
        b"{}",
        b'{"text": 1}',
        b'{"text": "250 ok"}',
        b'{"text"',
        b"NaN",
        b'{"text": "550 x", "phase": "never"}',
        b'{"text": "550 x", "phase": []}',
    ],
)
def test_what_cannot_be_classified_is_an_error(line):
    assert set(json.loads(answer(line))) == {"error"}


def test_half_a_character_in_a_reply_is_no_trouble():
    assert json.loads(answer(b'{"text": "550 \\ud800 no such user"}'))["reason"] == "not_exist"


def said(text, **more):
    found = json.loads(answer(json.dumps({"text": text, **more}).encode()))
    return found["kind"], found["reason"]


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_no_answer_at_all_is_tried_again(text):
    assert said(text) == ("temporary", "server_error")


@pytest.mark.parametrize(
    "text",
    [
        "smtp;550 5.1.1 user unknown",
        "SMTP; 550 5.1.1 USER UNKNOWN",
        "550\tuser unknown",
        "550-5.1.1 The account\\r\\n550 5.1.1 does not exist",
        "550 &lt;a@example.org&gt;: isn&#39;t a known user",
        "(550, b'5.1.1 No such user')",
        "550 \x00\x07\ufffd no\x1fsuch user \ufffd",
        "host mx.example.org[192.0.2.1] said: 550 no such user (in reply to RCPT TO command)",
        "550 no such user " + "x" * 100_000,
        'x-postfix; unknown user: "bob"',
    ],
)
def test_a_reply_is_read_in_whatever_it_is_wrapped(text):
    assert said(text) == ("permanent", "not_exist")


def test_a_relay_that_names_the_command_tells_the_phase():
    assert json.loads(answer(b'{"text": "host mx said: 550 hm (in reply to MAIL FROM command)"}'))["scope"] == "sender"
    assert json.loads(answer(b'{"text": "550 hm", "phase": "MAIL_FROM"}'))["scope"] == "sender"
    assert json.loads(answer(b'{"text": "550 hm"}'))["scope"] == "message"


def test_the_rules_in_use_pass_and_broken_ones_are_refused(tmp_path, capsys):
    call_command("check_rules")
    assert "each reached by its sample" in capsys.readouterr().out
    text = RULES.read_text(encoding="utf-8")
    first = "[[rule]]" + text.split("[[rule]]")[1]
    for number, broken in enumerate(
        (first + first, "x = ", "[[rule]]\nname = 'a'", first.replace("pattern = ['", "pattern = ['("))
    ):
        path = tmp_path / f"{number}.toml"
        path.write_text(broken, encoding="utf-8")
        with pytest.raises(CommandError):
            call_command("check_rules", str(path))
    with pytest.raises(CommandError):
        call_command("check_rules", str(tmp_path / "missing.toml"))
