"""`{{name}}`: finding variables, and refusing everything that only looks like one."""

from __future__ import annotations

import re

from delivery.templating.problems import Problem, position, shown

UNSUBSCRIBE_URL = "unsubscribe_url"

# Letters of any script: the columns of a list may be named in Japanese.
VARIABLE = re.compile(r"\{\{[ \t]*(\w{1,64})[ \t]*\}\}")
# What other template languages begin with. A lone "}}" is no error: style sheets end that way.
_FOREIGN = re.compile(r"\{\{|\{%|\{#.{0,200}?#\}")
_LINE_END = re.compile(r"[\r\n]")
MAX_PROBLEMS = 20


def variables(source: str) -> list[str]:
    """Names in order of first appearance, each once, without the reserved `unsubscribe_url`."""
    names = dict.fromkeys(VARIABLE.findall(source))
    names.pop(UNSUBSCRIBE_URL, None)
    return list(names)


def split(source: str) -> list[str]:
    """Literal text at even places, variable names at odd ones."""
    return VARIABLE.split(source)


def syntax_problems(source: str) -> list[Problem]:
    """What begins like template syntax and is no `{{name}}`: the first `MAX_PROBLEMS` places."""
    found: list[Problem] = []
    offset = 0
    while len(found) < MAX_PROBLEMS and (match := _FOREIGN.search(source, offset)):
        known = VARIABLE.match(source, match.start())
        if known:
            offset = known.end()
            continue
        found.append(_problem(source, match.start()))
        # Past the whole construct, so that one mistake is told once.
        closing = {"{{": "}}", "{%": "%}"}.get(match.group()[:2])
        end = source.find(closing, match.end()) if closing else match.end()
        next_line = _LINE_END.search(source, match.end())
        one_line = end >= 0 and not (next_line and end > next_line.start())
        offset = end + (2 if closing else 0) if one_line else match.end()
    return found


def _problem(source: str, offset: int) -> Problem:
    line, column = position(source, offset)
    rest = _LINE_END.split(source[offset : offset + 200], maxsplit=1)[0]
    if rest.startswith("{{") and "}}" not in rest:
        text = "“{{” is never closed. Write {{name}}, on one line, or remove the braces."
        return Problem(line, column, "unclosed", text)
    end = re.search(r"\}\}+|%\}|#\}", rest)
    piece = shown(rest[: end.end()] if end else rest)
    text = f"“{piece}” is unknown syntax. Only {{{{name}}}} is known: letters, digits and underscores in double braces."
    return Problem(line, column, "syntax", text)
