"""The plan of the house, held: imports go one way, pure modules know no Django, files stay readable."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Which may import which.
FLOORS = {
    "console": (),
    "suppression": ("console",),
    "delivery": ("console", "suppression"),
    "tracking": ("console", "suppression", "delivery"),
    "exports": ("console",),
}
MODULES = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py")) if "migrations" not in path.parts]

# What must work, and be tested, without Django.
PURE = [
    "suppression/address.py",
    "suppression/expiry.py",
    "delivery/tokens.py",
    "delivery/return_path.py",
    "delivery/templating",
    "delivery/engine/types.py",
    "delivery/engine/wire.py",
    "delivery/engine/session.py",
    "delivery/engine/smtp.py",
    "delivery/engine/dkim.py",
    "delivery/engine/classify.py",
    "delivery/engine/route.py",
    "delivery/engine/compose.py",
    "delivery/engine/bodies.py",
    "delivery/engine/headers.py",
    "delivery/engine/shape.py",
    "tracking/feedback/read.py",
    "tracking/feedback/types.py",
    "tracking/feedback/reading",
]


@functools.cache
def imports(path: Path) -> set[str]:
    """Names of the modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_modules_import_nothing_but_their_floor_and_those_below() -> None:
    wrong = []
    for path in MODULES:
        own = path.relative_to(ROOT).parts[0]
        above = set(FLOORS) - {own, *FLOORS[own]}
        wrong += [
            f"{path.relative_to(ROOT)}: {module}"
            for module in imports(path)
            if any(is_in(module, package) for package in above)
        ]
    assert wrong == []


def test_the_engine_knows_no_page_no_list_and_no_web() -> None:
    web = ("delivery.pages", "console.lists", "console.views", "console.registry", "django.http", "django.shortcuts")
    for path in sorted((ROOT / "delivery/engine").glob("*.py")):
        assert not [module for module in imports(path) if any(is_in(module, package) for package in web)], path


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_no_django(name: str) -> None:
    where = ROOT / name
    for path in sorted(where.rglob("*.py")) if where.is_dir() else [where]:
        assert not [module for module in imports(path) if is_in(module, "django")], path


def test_a_file_says_one_thing() -> None:
    for path in MODULES:
        lines = path.read_text().splitlines()
        assert len(lines) <= 400 or any("400 lines" in line for line in lines[:20]), (
            f"{path.relative_to(ROOT)} has over 400 lines: two things, or a reason at its top why it is one."
        )


# Django says what lives in these.
DJANGOS = {"management", "commands", "migrations"}
PACKAGES = [
    path for floor in FLOORS for path in sorted((ROOT / floor).rglob("__init__.py")) if path.parent.name not in DJANGOS
]


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_each_package_says_what_lives_there(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


# Between the parts of an installation, or written by a mail server: nothing that an operator sets.
NO_SETTINGS = {
    "ORIGINAL_RECIPIENT",
    "POSTHORN_STOP_FILE",
    "POSTHORN_SUPERVISOR",
    "Q_CLUSTER_NAME",
    "RECIPIENT",
}
README = (ROOT / "README.md").read_text()


def test_the_readme_names_every_setting_and_no_other() -> None:
    read = re.compile(
        r"""(?:\benv(?:\.\w+)?\(|\benviron(?:\.get\(|\[)|\b(?:kept_secret|versioned_keys|at_least)\()\s*"([A-Z][A-Z0-9_]+)\""""
    )
    asked = {name for path in MODULES for name in read.findall(path.read_text())} - NO_SETTINGS
    rows = README[README.index("### Settings") : README.index("### Commands")].splitlines()
    named: set[str] = set()
    for row in rows:
        for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1]) if row.startswith("| `") else ():
            # `SMTP_TIMEOUT_CONNECT`, `_DATA`: the beginning is written once.
            named.add(f"SMTP_TIMEOUT{name}" if name.startswith("_") else name)
    assert named == asked


def test_the_readme_names_every_command_and_no_other() -> None:
    there = {path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")}
    table = README[README.index("### Commands") : README.index("### Further reading")]
    assert set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) == there


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_what_the_docs_point_at_is_there(path: Path) -> None:
    text = path.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []
    files = re.findall(
        r"`((?:console|delivery|suppression|tracking|exports|tests|templates|static|docs|locale)/[\w./-]+)`", text
    )
    assert [name for name in files if not (ROOT / name).exists()] == []
    djangos = {"createsuperuser", "check", "makemigrations"}
    commands = {path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")} | djangos
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= commands


def test_what_the_guide_to_lists_shows_is_there() -> None:
    """An orchard of its own is all that it takes for granted."""
    text = (ROOT / "docs/how-to-add-a-list.md").read_text()
    trees = [ast.parse(code) for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    shown = {
        alias.asname or alias.name: getattr(importlib.import_module(node.module), alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and not is_in(node.module, "orchard")
        for alias in node.names
    }
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    for call in calls:
        assert isinstance(call.func, ast.Name)
        if dataclasses.is_dataclass(of := shown.get(call.func.id)):
            fields = {field.name for field in dataclasses.fields(of)}
            assert {keyword.arg for keyword in call.keywords} <= fields, call.func.id
    assert {"ListPage", "Action", "Empty", "rows"} <= {
        call.func.id for call in calls if isinstance(call.func, ast.Name)
    }
