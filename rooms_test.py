"""Which room may import which: every file is held to it, those of tests, examples and benchmarks too.

A room stands above those that it may import. A test may run a whole program as a user does, and otherwise obeys the
rule of the room that it lies in.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
ROOMS = {
    "capsules": set(),
    "models": {"capsules"},
    "input_data": set(),
    "runner": {"capsules", "models", "input_data"},
    "tools": {"capsules", "models", "input_data", "runner"},
    "explorer": {"capsules", "models", "input_data", "runner"},
    "benchmarks": {"capsules", "models", "input_data", "runner", "explorer", "tools"},
    "examples": {"capsules", "models", "input_data", "runner", "explorer"},
}
# Lines of Python outside tests that a room may have, "top" being the root. They may fall; a line that moves from one
# room to another takes its budget along, with the reason in the commit.
LINES = {
    "capsules": 1897,
    "models": 996,
    "input_data": 2297,
    "runner": 2002,
    "explorer": 1460,
    "benchmarks": 1141,
    "examples": 456,
    "tools": 208,
    "top": 249,
}
TEST_LINES = 7928
PROGRAMS = {"experiment", "explore"}  # at the top: only tests import them
PACKAGES = {"capsules": {"keras", "numpy"}}  # all that a room may take when it is loaded, beside Python's own


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names that code imports, in its functions too. Relative imports stay in the room and are left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def loaded(tree: ast.Module) -> Iterator[str]:
    """The names that a module imports when it is loaded, thus outside functions."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from imports(node)


def files(room: str) -> list[Path]:
    """The Python files of a room."""
    return sorted((ROOT / room).rglob("*.py"))


def is_test(path: Path) -> bool:
    """Whether a file belongs to the tests."""
    return path.name.endswith("_test.py") or path.name == "conftest.py"


def test_every_folder_with_code_is_a_room():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "._" and files(path.name)}
    assert folders - {"build", "runs"} == ROOMS.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room):
    others = ROOMS.keys() - ROOMS[room] - {room}
    for path in files(room):
        forbidden = others if is_test(path) else others | PROGRAMS
        wrong = {name for name in imports(ast.parse(path.read_text())) if name.split(".")[0] in forbidden}
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("room", PACKAGES)
def test_a_room_that_runs_on_any_backend_loads_none(room):
    for path in files(room):
        for name in loaded(ast.parse(path.read_text())) if not is_test(path) else ():
            package = name.split(".")[0]
            allowed = package in PACKAGES[room] | {room} | sys.stdlib_module_names
            assert allowed, f"{path.relative_to(ROOT)} imports {name}"


def lines(paths: list[Path]) -> int:
    """How many lines files have together."""
    return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)


@pytest.mark.parametrize("room", LINES)
def test_a_room_keeps_to_its_budget(room):
    paths = sorted(ROOT.glob("*.py")) if room == "top" else files(room)
    assert lines([path for path in paths if not is_test(path)]) <= LINES[room]


def test_the_tests_keep_to_their_budget():
    paths = [path for room in ROOMS for path in files(room)] + sorted(ROOT.glob("*.py"))
    assert lines([path for path in paths if is_test(path)]) <= TEST_LINES
