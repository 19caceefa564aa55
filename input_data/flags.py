"""Reads a program's flags, which are declared as the fields of a frozen dataclass, in absl's syntax.

    @dataclass(frozen=True)
    class Config:
        max_steps: int = flag(1000, "train to this step", low=1)

    config = parse(Config, sys.argv[1:], "train.py", "Trains a network.")

`--train=false`, `--train=False`, `--notrain`, `--train false`, `-train=false` and `--flagfile=FILE` work as in absl.
`--help` lists the program's own flags, and `--helpfull` those of absl too.
"""

import argparse
import difflib
import math
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from absl import flags as absl_flags
from absl.flags import argparse_flags

T = TypeVar("T")
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


@dataclass(frozen=True)
class Rule:
    """The values that a flag takes, besides its type.

    Attributes:
        help: its text in --help.
        group: its heading in --help.
        choices: all allowed values; empty: any value.
        low, high: bounds of a number.
        path: whether it is a path on this machine, in which ~ is the home folder.
        endings: allowed endings of the file name, where "" is a name without an ending; None: any ending.
        metavar: the placeholder for the value in --help.
    """

    help: str
    group: str = ""
    choices: tuple = ()
    low: float = -math.inf
    high: float = math.inf
    path: bool = False
    endings: tuple[str, ...] | None = None
    metavar: str | None = None


def flag(default: Any, help: str, group: str = "", **rule: Any) -> Any:
    """A field of the dataclass, see `Rule`; with the default MISSING the flag is required."""
    return field(default=default, metadata={"rule": Rule(help, group, **rule)})


def value_type(declared: Field) -> type:
    """The type of a flag's value: `int` for a field of type `int` or `int | None`."""
    if isinstance(declared.type, types.UnionType):
        return next(each for each in typing.get_args(declared.type) if each is not type(None))
    return typing.cast(type, declared.type)


def check(declared: Field, value: Any) -> None:
    """Raises ValueError, saying what is expected, if a value does not have a flag's type, choices and range."""
    if value is None and isinstance(declared.type, types.UnionType):
        return
    rule, kind = declared.metadata["rule"], value_type(declared)
    # In Python True is an int. A whole number is accepted for any number.
    if type(value) is not kind and not (kind is float and type(value) is int):
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        raise ValueError(f"expected {names[kind]}, received {value!r}")
    if rule.choices and value not in rule.choices:
        raise ValueError(f"expected one of {', '.join(map(str, rule.choices))}, received {value!r}")
    if kind in (int, float):
        noun = "a whole number" if kind is int else "a number"
        if not rule.low <= value:
            raise ValueError(f"expected {noun}, {rule.low:,} or more, received {str(value)!r}")
        if not value <= rule.high or value == math.inf:
            raise ValueError(f"expected {noun}, {rule.high:,} at most, received {str(value)!r}")


def _read(declared: Field, text: str) -> Any:
    """The value of a flag's text; raises ValueError, saying what is expected, if the text is wrong."""
    rule, kind = declared.metadata["rule"], value_type(declared)
    value: Any = text
    if kind is bool:
        value = _BOOLEANS.get(text.lower(), text)
    elif kind is int and re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        value = int(text)
    elif kind is float and re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text):
        value = float(text)
    if kind is int and value is text:
        raise ValueError(f"expected a whole number, received {text!r}")
    check(declared, value)
    return _path(rule, text) if rule.path else value


def _path(rule: Rule, text: str) -> str:
    if "://" in text:
        raise ValueError(f"expected a path on this machine, not an address, received {text!r}")
    if not text or "\0" in text:
        raise ValueError(f"expected a path, received {text!r}")
    if rule.endings is not None and Path(text).suffix.lower() not in rule.endings:
        with_endings = [ending for ending in rule.endings if ending]
        other = " or without an ending" if "" in rule.endings else ""
        raise ValueError(f"expected a name that ends in {' or '.join(with_endings)}{other}, received {text!r}")
    return os.path.expanduser(text)


def _one_line(message: str) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", message.strip())


class _Parser(argparse_flags.ArgumentParser):
    """absl's parser, which prints an error as one line without the usage text."""

    def parse_args(self, args=None, namespace=None):
        namespace, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}. {self._nearest(unknown[0])}")
        return namespace

    def parse_known_args(self, args=None, namespace=None):
        try:
            args = absl_flags.FLAGS.read_flags_from_files(list(args), force_gnu=True)
        except (absl_flags.Error, OSError, UnicodeError) as error:
            self.error(f"--flagfile: {error}")
        return super().parse_known_args([self._with_two_dashes(text) for text in args], namespace)

    def _with_two_dashes(self, text: str) -> str:
        name = f"-{text.partition('=')[0]}"
        return f"-{text}" if not text.startswith("--") and name in self._option_string_actions else text

    def _nearest(self, text: str) -> str:
        names = [name for name in self._option_string_actions if name.startswith("--")]
        close = difflib.get_close_matches(f"--{text.lstrip('-').partition('=')[0]}", names, 1)
        return f"Did you mean {close[0]}?" if close else "--help lists the flags."

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {_one_line(message)}\n")


def _add(parser, declared: Field) -> None:
    rule, kind = declared.metadata["rule"], value_type(declared)

    def read(text: str) -> Any:
        try:
            return _read(declared, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    options: dict[str, Any] = {"type": read, "metavar": rule.metavar, "help": rule.help.replace("%", "%%")}
    if kind is bool:
        options |= {"nargs": "?", "const": True, "metavar": "true|false"}
        parser.add_argument(
            f"--no{declared.name}",
            dest=declared.name,
            action="store_const",
            const=False,
            help=argparse.SUPPRESS,
        )
    elif rule.choices:
        # The parser names the choices itself, in its help and in its error.
        options |= {"type": kind, "choices": rule.choices}
    elif rule.metavar is None:
        options["metavar"] = {int: "N", float: "X"}.get(kind, "PATH" if rule.path else "TEXT")
    if declared.default is MISSING:
        options["required"] = True
    elif declared.default is not None:
        default = str(declared.default).lower() if kind is bool else declared.default
        options["help"] += f" (default: {default})"
    parser.add_argument(f"--{declared.name}", **options)


def parse(kind: type[T], arguments: Sequence[str], program: str, description: str, epilog: str = "") -> T:
    """The flags in `arguments` as a dataclass; wrong flags end the process with one line and exit code 2.

    Args:
        kind: a dataclass whose fields are made by `flag`; a ValueError from it counts as an error in the flags.
        arguments: the arguments without the program's name.
        program: the program's name, for messages.
        description: what the program does, for --help.
        epilog: the last paragraph of --help.
    """
    parser = _Parser(
        prog=program,
        usage="%(prog)s [flags]",
        description=description,
        epilog=epilog,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    groups: dict[str, Any] = {"": parser}
    for declared in fields(typing.cast(Any, kind)):
        name = declared.metadata["rule"].group
        if name not in groups:
            groups[name] = parser.add_argument_group(name)
        _add(groups[name], declared)
    try:
        return kind(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))
        raise


def exit_code(program: str, job: Callable[[], int]) -> int:
    """Runs a job and returns its exit code: 1 after an error, which is printed in one line, and 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path need not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        return job()
    except (ValueError, OSError) as error:
        print(f"{program}: error: {_one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        tensorflow = sys.modules.get("tensorflow")
        if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
            raise  # a bug of ours, whose traceback is needed
        print(f"{program}: error: {_one_line(error.message or str(error))}", file=sys.stderr)
        return 1
