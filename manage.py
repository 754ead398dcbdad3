#!/usr/bin/env python
"""Django's command line, with the embedded PostgreSQL brought up first where one is needed."""

import os
import sys

# These read no rows; a linter or a hook must not start a database server.
WITHOUT_DATABASE = {"check", "collectstatic", "compilemessages", "help", "makemessages", "simulator", "version"}
WITHOUT_DATABASE |= {"check_rules", "classify_replies", "read_feedback"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    from django.core.management import execute_from_command_line

    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "help")
    if command not in WITHOUT_DATABASE and "--help" not in sys.argv:
        from console import database

        database.ensure_running()
    if command == "qcluster":
        from console import leash

        leash.hold()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
