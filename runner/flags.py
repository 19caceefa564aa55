"""Makes a program's flags from the fields of a frozen dataclass, by absl, and turns errors into exit codes.

    @dataclass(frozen=True)
    class Config:
        max_steps: int = flag(1000, "train to this step", low=1)

`--train=false`, `--train=False`, `--notrain`, `-train=false` and `--flagfile=FILE` work as in absl.
"""

import math
import os
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from absl import flags as absl_flags

T = TypeVar("T")


class UserError(ValueError):
    """A fault that the user can mend: programs print its message in one line, without a traceback."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Makes a UserError of a ValueError, around calls of libraries that check what the user asked for."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from None


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
    """

    help: str
    group: str = "flags"
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    path: bool = False
    endings: tuple[str, ...] | None = None


def flag(default: Any, help: str, group: str = "flags", **rule: Any) -> Any:
    """A field of the dataclass, see `Rule`."""
    return field(default=default, metadata={"rule": Rule(help, group, **rule)})


def _kind(declared: Field) -> type:
    """The type of a flag's value: `int` for a field of type `int` or `int | None`."""
    if isinstance(declared.type, types.UnionType):
        return next(each for each in typing.get_args(declared.type) if each is not type(None))
    return typing.cast(type, declared.type)


class _Path(absl_flags.ArgumentParser):
    """A path; one that a flagfile cannot repeat, because absl strips its lines, is refused."""

    def __init__(self, endings: tuple[str, ...] | None):
        self.endings = endings

    def parse(self, argument: str) -> str:
        if not argument or argument != argument.strip() or re.search(r"[\0\r\n]|://", argument):
            raise ValueError(
                "expected a path on this machine, without line breaks and without spaces at its ends "
                "(a folder's name may be followed by /)"
            )
        if self.endings is not None and Path(argument).suffix.lower() not in self.endings:
            raise ValueError(f"expected a name that ends in {' or '.join(end or 'nothing' for end in self.endings)}")
        return os.path.expanduser(argument)


class _Boolean(absl_flags.BooleanParser):
    def parse(self, argument: Any) -> bool:
        try:
            return super().parse(argument)
        except ValueError:
            raise ValueError("expected true or false") from None


class _Finite(absl_flags.FloatParser):
    def convert(self, argument: Any) -> float:
        value = super().convert(argument)
        if not math.isfinite(value):
            raise ValueError("expected a finite number")
        return value


def _define(values: absl_flags.FlagValues, declared: Field) -> None:
    rule, kind, name = declared.metadata["rule"], _kind(declared), declared.name
    parser: Any
    if kind is bool:
        parser = _Boolean()
    elif kind is int and not rule.choices:
        parser = absl_flags.IntegerParser(rule.low, rule.high)
    elif kind is float:
        parser = _Finite(rule.low, rule.high)
    elif rule.choices:
        parser = absl_flags.EnumParser([str(choice) for choice in rule.choices])
    else:
        parser = _Path(rule.endings) if rule.path else absl_flags.ArgumentParser()
    default = declared.default if not rule.choices or declared.default is None else str(declared.default)
    choices = f" <{'|'.join(map(str, rule.choices))}>" if rule.choices else ""
    absl_flags.DEFINE(
        parser, name, default, rule.help + choices, flag_values=values, module_name=rule.group, boolean=kind is bool
    )


def parse(
    kind: type[T], arguments: Sequence[str], program: str, description: str = "", epilog: str = "", jobs: Mapping = {}
) -> T:
    """The flags in `arguments` as a dataclass; wrong flags end the process with one line and exit code 2.

    Args:
        kind: a dataclass whose fields are made by `flag`; a ValueError from it counts as an error in the flags.
        arguments: the arguments without the program's name.
        program: the program's name, for messages.
        description: what the program does, for --help.
        epilog: the last paragraph of --help.
        jobs: for each name that the dataclass' `job` may have, (a function, the names of the flags that it takes).
    """
    declared = fields(typing.cast(Any, kind))
    values = absl_flags.FlagValues()
    for each in declared:
        _define(values, each)
    absl_flags.DEFINE_boolean("help", False, "show this text", flag_values=values, short_name="h")
    try:
        rest = values([program, *arguments])[1:]
        if rest:
            raise ValueError(f"unrecognized arguments: {' '.join(rest)}. Flags are given as --name=value.")
        if values.help:
            flags_by_group = values.get_help(include_special_flags=False)
            print(f"usage: python {program} [flags]\n\n{textwrap.fill(description, 100)}\n{flags_by_group}\n{epilog}")
            sys.exit(0)
        given = {each.name: values[each.name].value for each in declared}
        numbers = {each.name for each in declared if _kind(each) is int and each.metadata["rule"].choices}
        config: Any = kind(**{name: int(v) if v is not None and name in numbers else v for name, v in given.items()})
        if jobs:
            _check_job(config, jobs[config.job][1])
        return config
    except (absl_flags.Error, OSError, ValueError) as error:
        print(f"{program}: error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(2)


def _check_job(config: Any, takes: Collection[str]) -> None:
    """Raises UserError if a flag has another value than its default and the job does not take it."""
    for each in fields(config):
        if each.name not in takes and getattr(config, each.name) != each.default:
            raise UserError(f"--{each.name} has no effect on this job ({config.job}). Leave it out.")


def one_line(message: str) -> str:
    """The message without line breaks."""
    return re.sub(r"\s*[\r\n]+\s*", " ", message.strip())


def exit_code(program: str, job: Callable[[], int]) -> int:
    """Runs a job and returns its exit code: 1 after an error, which is printed in one line, and 130 after Ctrl-C.

    A bug of ours keeps its traceback: only faults that the user can mend become a line.
    """
    from input_data import DataError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path need not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        return job()
    except (UserError, DataError, OSError) as error:
        print(f"{program}: error: {one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        # TensorFlow's words for what is no bug: too little memory or disk, no permission, a machine that has stopped.
        names = ("ResourceExhaustedError", "PermissionDeniedError", "UnavailableError", "AbortedError")
        if type(error).__name__ not in names:
            raise
        print(f"{program}: error: {one_line(getattr(error, 'message', str(error)))}", file=sys.stderr)
        return 1
