"""Run the usual parts, or those named with --only, in an installation of its own under a temporary directory."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

USUAL = (
    "rsa",
    "import",
    "expand",
    "send",
    "big",
    "latency",
    "domains",
    "older",
    "tracking",
    "pages",
    "feedback",
)
# Where time goes, proofs, and what takes minutes: only when they are asked for.
PARTS = (*USUAL, "profile", "suppression", "statistics", "returns", "kills", "lists", "exports", "workbook")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", default=",".join(USUAL), help=f"parts with commas: {', '.join(PARTS)}")
    parser.add_argument("--messages", type=int, default=20_000, help="of a task of 5 KB mails")
    parser.add_argument("--older", type=int, default=1_000_000, help="settled messages that the table is filled with")
    parser.add_argument("--history", type=int, default=2_000_000, help="messages of a year, for lists")
    parser.add_argument("--exported", type=int, default=200_000, help="messages of a month, for exports")
    parser.add_argument("--keep", action="store_true", help="leave the installation for a look")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := [part for part in wanted if part not in PARTS]:
        parser.error(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    var = Path(tempfile.mkdtemp(prefix="posthorn-bench-"))
    os.environ |= {"POSTHORN_VAR": str(var), "DJANGO_SETTINGS_MODULE": "console.settings"}
    os.environ.setdefault("POSTHORN_PORT", "18700")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    for name in ("DATABASE_URL", "DNS_SERVERS", "MX_PORT"):
        os.environ.pop(name, None)
    from console import database

    database.ensure_running()
    import django

    django.setup()
    from tests.bench import parts

    try:
        figures = parts.run(
            [part for part in PARTS if part in wanted],
            messages=options.messages,
            older=options.older,
            history=options.history,
            exported=options.exported,
        )
    finally:
        if not options.keep:
            database.stop()
            shutil.rmtree(var, ignore_errors=True)
        else:
            sys.stderr.write(f"kept: {var}\n")
    width = max(map(len, figures), default=0)
    for name, value in figures.items():
        print(f"{name:<{width}}  {value:>14,}" if isinstance(value, (int, float)) else f"{name:<{width}}  {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
