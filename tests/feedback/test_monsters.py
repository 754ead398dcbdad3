"""Mails made to do harm cost little: never more than 64 MB and 2 s, whatever their size."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTICE = b"From: MAILER-DAEMON@x.example\r\nReturn-Path: <>\r\nSubject: failure notice\r\n"
MIXED = NOTICE + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
HTML = NOTICE + b"Content-Type: text/html\r\n\r\n"
REPORT = b"Content-Type: message/delivery-status\r\n\r\n"


def nested(depth: int) -> bytes:
    """Parts in parts, each with a boundary of its own."""
    shells = (b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (at, at) for at in range(depth))
    return NOTICE + b"".join(shells) + b"Content-Type: text/plain\r\n\r\n550 no <a@example.com>\r\n"


MONSTERS = {
    "10,000 nested parts": nested(10_000),
    "20,000 nested parts of one boundary": MIXED + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 20_000,
    "200,000 parts": MIXED + b"--b\r\n\r\nx\r\n" * 200_000,
    "20,000 nested mails": MIXED + b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n" * 20_000,
    "500,000 headers": b"X: y\r\n" * 500_000,
    "a header of 5 MB": NOTICE + b"X-A: " + b"a" * 5_000_000 + b"\r\n\r\nx",
    "a subject of encoded words": NOTICE + b"Subject: " + b"=?utf-8?q?a?= " * 100_000 + b"\r\n\r\nx",
    "30 MB": NOTICE + b"\r\n" + b"x" * 30_000_000,
    "nothing but @": NOTICE + b"\r\n" + b"@" * 1_000_000,
    "nothing but addresses": NOTICE + b"\r\n" + b"1 a@example.com " * 60_000,
    "a line of addresses, again and again": NOTICE + b"\r\n" + (b"1 a@example.com " * 60 + b"\n") * 1_000,
    "nothing but codes": NOTICE + b"\r\n<a@example.com>:\n" + b"550-5.1.1 " * 100_000,
    "nothing but blanks": NOTICE + b"\r\n" + b" " * 1_000_000,
    "nothing but line ends": NOTICE + b"\r\n" + b"\r\n" * 500_000,
    "nothing but null bytes": b"\0" * 2_000_000,
    "styles that never end": HTML + b"<style" * 300_000,
    "tags that never end": HTML + b"<p " * 300_000,
    "broken base64": NOTICE + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=A" * 500_000,
    "a slow charset": NOTICE + b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a-" * 500_000,
    "20,000 groups of a report": NOTICE
    + REPORT
    + b"Final-Recipient: rfc822; a@example.com\nAction: failed\n\n" * 20_000,
    "a field folded 300,000 times": NOTICE
    + REPORT
    + b"Final-Recipient: a@b.cc\nDiagnostic-Code: 550"
    + b"\n x" * 300_000,
    "5,000 recipients": NOTICE + b"\r\n" + b"".join(b"<a%d@example.com>:\nhm\n\n" % at for at in range(5_000)),
    "JSON without end": NOTICE + b'\r\n{"notificationType":' + b"[" * 500_000,
    "30,000 tokens": NOTICE + b"\r\n" + b"b+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@" * 30_000,
    "1970": NOTICE + b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nArrival-Date: -1\r\n\r\nfailed",
}
# Memory is counted from after the first mail, so that modules and rules are not; time is processor time.
MEASURE = """
import pickle, sys, time, tracemalloc
from tracking.feedback.read import read
read(b"Subject: failure notice\\n\\n<a@example.com>: 550 hm")
for name, raw in pickle.load(sys.stdin.buffer).items():
    before = time.process_time()
    read(raw)
    seconds = time.process_time() - before
    tracemalloc.start()
    read(raw)
    print(name, seconds, tracemalloc.get_traced_memory()[1], sep="|")
    tracemalloc.stop()
"""


def test_monsters_are_read_in_little_time_and_memory():
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, cwd=ROOT, input=pickle.dumps(MONSTERS), capture_output=True, timeout=300, check=True)
    found = [line.split("|") for line in done.stdout.decode().splitlines()]
    assert len(found) == len(MONSTERS)
    assert not [name for name, _, memory in found if int(memory) > 32 * 2**20]
    assert not [name for name, seconds, _ in found if float(seconds) > 2]
