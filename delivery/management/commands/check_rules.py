"""`manage.py check_rules`: do the rules that read servers' replies hold together?"""

from __future__ import annotations

import re
import tomllib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from delivery.engine import classify


class Command(BaseCommand):
    help = "Refuse reply rules that can't be reached, contradict each other or don't do what their sample says."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, default=classify.RULES, help="default: the rules in use")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            rules = classify.read_rules(file.read_text(encoding="utf-8"))
        except KeyError as missing:
            raise CommandError(f"{file}: a rule lacks {missing}") from missing
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, re.error, TypeError, ValueError) as error:
            raise CommandError(f"{file}: {error}") from error
        problems = classify.problems(rules)
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            raise CommandError(f"{file}: {len(problems)} problems in {len(rules)} rules")
        self.stdout.write(f"{len(rules)} rules, each reached by its sample, none contradicting another")
