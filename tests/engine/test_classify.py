"""What replies mean: by the rules' own samples, by replies written down by hand, and by a corpus of real ones."""

import json
from pathlib import Path

import pytest

from delivery.engine.classify import (
    RULES,
    classify,
    classify_text,
    ip_rules,
    normalised,
    parse,
    problems,
    read_rules,
    rules,
)
from delivery.engine.types import Phase
from tests.engine.replies import SAID

HELD_OUT = Path(__file__).parent / "replies_heldout.jsonl"
CORPUS = Path(__file__).parents[3] / "shared/corpora/smtp_replies.jsonl"

# concept of the corpus → the reason meant, and those that are fair too
CONCEPTS = {
    "user_unknown user_disabled moved": "not_exist rejected",
    "host_unknown": "not_exist server_error",
    "bad_address": "format_error not_exist",
    "network expired system": "server_error other",
    "no_accept": "server_error rejected not_exist",
    "ip_reputation auth rate": "ip_or_domain rejected spam",
    "spam virus": "spam rejected",
    "content policy": "rejected spam ip_or_domain",
    "user_refused sender_rejected relay_denied too_big": "rejected not_exist ip_or_domain spam other",
    "mailbox_full greylist protocol unknown": "other server_error rejected",
}


def verdict(line, phase=Phase.RCPT):
    return classify(*parse(line), line, phase)


def test_the_rules_hold_together():
    assert problems(rules()) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_every_rule_is_reached_by_its_sample(rule):
    assert verdict(rule.sample, min(rule.phases, default=Phase.RCPT)).rule == rule.name


@pytest.mark.parametrize(
    ("reason", "line"), [(reason, line) for reason in SAID for line in SAID[reason].split("\n") if line]
)
def test_a_reply_has_the_reason_that_it_means(reason, line):
    assert verdict(line).reason == reason


def test_real_replies_are_read_as_their_labels_say():
    if not CORPUS.exists():
        pytest.skip(f"{CORPUS} is not here")
    reasons = {concept: value.split() for key, value in CONCEPTS.items() for concept in key.split()}
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    wrong = [row["text"] for row in rows if verdict(row["text"]).reason not in reasons[row["concept"]]]
    meant = [row for row in rows if verdict(row["text"]).reason == reasons[row["concept"]][0]]
    assert len(wrong) <= len(rows) * 0.05, wrong
    assert len(meant) >= len(rows) * 0.9
    kinds = [("permanent" if verdict(row["text"]).outcome == "refused" else "temporary") == row["kind"] for row in rows]
    assert sum(kinds) >= len(rows) * 0.95


def test_replies_of_many_servers_are_read_as_their_labels_say():
    """Written down before the rules were changed for them; the parts show how well rules do on what they don't know.

    "tuned" was worked with: 87 % before. "unseen" was not: 85 % before, 89 % after (96 % with what is fair too).
    "fresh" came later: 83 % with the old rules, 86 % (94 %) with the new ones, before anything was done for it.
    "later" and "last" likewise: 88 % (96 %) and 85 % (95 %) when they were written down.
    "batch 1" to "9" were taken from logs, postmasters' pages and other programs' lists, each labelled before the rules
    saw it: 84 (96), 88 (95), 78 (93), 82 (91), 73 (97), 81 (94), 75 (96), 74 (90), 75 (90) % at first.
    "batch 10" is what logs hold as it came, known texts as well: 93 (98) %; "11" is what Microsoft says, "12" came in
    bounce mails: 80 (97), 76 (95) %. "batch 13" is again as logs and bounce mails had it: 96 (97) %.
    """
    reasons = {concept: value.split() for key, value in CONCEPTS.items() for concept in key.split()}
    rows = [json.loads(line) for line in HELD_OUT.read_text(encoding="utf-8").splitlines()]
    assert len({row["text"] for row in rows}) == len(rows) > 1700
    found = [(row, classify_text(row["text"])) for row in rows]
    wrong = [(row["text"], got.rule) for row, got in found if got.reason not in reasons[row["concept"]]]
    meant = [row for row, got in found if got.reason == reasons[row["concept"]][0]]
    assert len(wrong) <= len(rows) * 0.02, wrong
    assert len(meant) >= len(rows) * 0.94
    for row, got in found:
        if row["concept"] in ("rate", "greylist"):
            assert got.outcome == "deferred", row["text"]
        if row["concept"] in ("user_unknown", "user_disabled", "mailbox_full", "moved"):
            assert got.scope in ("recipient", "message"), row["text"]


@pytest.mark.parametrize("phase", Phase)
def test_only_an_answer_to_the_final_dot_delivers(phase):
    outcome = classify(250, "2.0.0", "250 2.0.0 ok", phase).outcome
    assert outcome == ("delivered" if phase is Phase.DOT else "deferred")


@pytest.mark.parametrize("phase", Phase)
def test_no_answer_is_tried_again(phase):
    found = classify(0, "", "No answer in time", phase)
    assert (found.outcome, found.reason) == ("deferred", "server_error")


@pytest.mark.parametrize(
    "line",
    [
        "550 Ip frequency limited",
        "554 MI:STC 163 mx3",
        "550 RP:TRC 163 mx3",
        "421 5.7.32 hm",
        "554 4.7.1 later",
        "450 4.1.1 user unknown",
    ],
)
def test_what_passes_is_put_off_whatever_its_code(line):
    assert verdict(line).outcome == "deferred"


def test_who_is_concerned():
    assert verdict("550 5.1.1 user unknown").scope == "recipient"
    assert verdict("421 4.7.0 too many connections").scope == "site"
    assert verdict("554 5.7.1 Client host [1.2.3.4] blocked using zen.spamhaus.org").scope == "sender"
    assert verdict("554 5.7.1 spam message rejected").scope == "message"
    assert verdict("554 5.7.1 <a@example.org>: Relay access denied").scope == "recipient"


@pytest.mark.parametrize(
    "line",
    [
        "421 4.7.0 too many connections from 192.0.2.1",
        "550 Ip frequency limited. http://service.mail.qq.com",
        "554 MI:STC 163 mx3",
        "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
        "421 4.7.28 unusual rate of unsolicited mail",
        "421 Service not available, closing transmission channel",
        "421 4.3.0 Temporary System Problem. Try again later",
        "452 4.3.1 Insufficient system storage",
    ],
)
def test_what_holds_for_all_mail_to_a_site_is_no_matter_of_one_message(line):
    found = verdict(line)
    assert (found.outcome, found.scope) == ("deferred", "site")


@pytest.mark.parametrize(
    "line",
    [
        "451 4.3.0 Temporary lookup failure",
        "450 4.2.0 <a@example.org>: Mailbox temporarily unavailable, try again later",
        "451 Requested action aborted: local error in processing",
        "451 4.7.1 Greylisted, come back in 5 minutes",
    ],
)
def test_trouble_with_one_message_holds_up_no_other(line):
    assert verdict(line).scope in ("message", "recipient")


def test_what_is_said_of_our_ip_address_is_told_from_what_is_said_of_our_domain():
    assert verdict("554 5.7.1 Client host [1.2.3.4] blocked using zen.spamhaus.org").rule in ip_rules()
    assert verdict("550 5.7.1 Mail from IP 1.2.3.4 was rejected").rule in ip_rules()
    assert verdict("550 5.7.26 unauthenticated, DMARC policy").rule not in ip_rules()
    assert verdict("553 5.1.8 Sender address rejected: Domain not found").rule not in ip_rules()


def test_a_site_is_only_waited_for_where_that_may_help():
    assert verdict("554 5.3.1 Mail system full").scope == "message"
    for one in HELD_OUT.read_text(encoding="utf-8").splitlines():
        found = classify_text(json.loads(one)["text"])
        assert not (found.scope == "site" and found.outcome == "refused"), one


def test_a_reply_without_its_code_is_read_by_its_words():
    found = classify_text("Your email to group a@example.com was rejected due to spam classification.")
    assert (found.outcome, found.reason) == ("refused", "spam")
    assert classify_text("too many connections, slow down").outcome == "deferred"
    assert classify_text("host mx.example.org refused to talk to me: 554 mx.example.org").reason == "ip_or_domain"


def test_words_in_addresses_mean_nothing():
    assert verdict("550 5.1.1 <spam.blocked@virus.example>: no such user").reason == "not_exist"
    assert normalised("550-5.1.1 <a@example.org> isn't\n550 5.1.1 here, [192.0.2.1]") == " <> is not here, [<ip>]"


def test_codes_are_found_in_what_bounce_mails_quote():
    assert parse("550 5.1.1 no") == (550, "5.1.1")
    assert parse("host mx.example.org[192.0.2.1] said: 550-5.7.1 no (in reply to RCPT)") == (550, "5.7.1")
    assert parse("sorry (#5.1.1)") == (550, "5.1.1")
    assert parse("550 192.168.5.1.1 no") == (550, "")
    assert parse("nothing at all") == (0, "")


def test_faulty_rules_are_found():
    text = RULES.read_text(encoding="utf-8")
    first = text[text.index("[[rule]]") :].split("[[rule]]")[1]
    hidden = "[[rule]]" + first + "[[rule]]" + first
    assert any("two rules" in problem for problem in problems(read_rules(hidden)))
    assert any("ends at" in problem for problem in problems(read_rules(hidden)))
    nothing = '[[rule]]\nname = "all"\nreason = "bad"\nscope = "world"\nsample = "550 x"\n'
    assert len(problems(read_rules(nothing))) == 3


def rule(name, pattern="spam", reason="spam", **more):
    lines = {"name": name, "reason": reason, "scope": "message", "sample": f"550 {pattern}", **more}
    return "[[rule]]\n" + f"pattern = ['{pattern}']\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in lines.items())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (rule("a") + rule("b"), "says the same"),
        (rule("a") + rule("b", reason="rejected"), "contradicts it"),
        (rule("a") + rule("b", pattern="spam again"), "ends at a"),
        (rule("a", pattern="Spam"), "capitals"),
        (rule("a", ip=True), "IP address"),
        (rule("a", phase=["never"]), "no such phase"),
    ],
)
def test_rules_that_are_hidden_or_contradict_each_other_are_named(text, said):
    assert any(said in problem for problem in problems(read_rules(text)))


def test_the_same_words_may_mean_another_thing_under_another_code():
    assert problems(read_rules(rule("a", code=[4], sample="450 spam") + rule("b", reason="rejected"))) == []


def test_an_endless_reply_costs_no_more_than_a_long_one():
    for text in ("a" * 5000, "user " * 1000, "mailbox " * 600, "< " * 2000, "1." * 2000, "<ip> " * 500):
        assert classify(550, "", "550 " + text, Phase.RCPT).outcome == "refused"
