"""The plan of the house, held: imports go one way, pure modules know no Django, files stay readable."""

from __future__ import annotations

import ast
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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_nothing_but_its_floor_and_those_below(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    above = set(FLOORS) - {own, *FLOORS[own]}
    assert not [module for module in imports(path) if any(is_in(module, package) for package in above)]


@pytest.mark.parametrize("path", sorted((ROOT / "delivery/engine").glob("*.py")), ids=lambda path: path.name)
def test_the_engine_knows_no_page_no_list_and_no_web(path: Path) -> None:
    web = ("delivery.pages", "console.lists", "console.views", "console.registry", "django.http", "django.shortcuts")
    assert not [module for module in imports(path) if any(is_in(module, package) for package in web)]


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_no_django(name: str) -> None:
    where = ROOT / name
    for path in sorted(where.rglob("*.py")) if where.is_dir() else [where]:
        assert not [module for module in imports(path) if is_in(module, "django")], path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_one_thing(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 400 or any("400 lines" in line for line in lines[:20]), (
        "Over 400 lines: two things, or a reason at its top why it is one."
    )


@pytest.mark.parametrize("floor", FLOORS)
def test_each_package_says_what_lives_there(floor: str) -> None:
    assert ast.get_docstring(ast.parse((ROOT / floor / "__init__.py").read_text()))
