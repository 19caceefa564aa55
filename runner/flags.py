"""Makes a program's flags from the fields of a frozen dataclass, by absl, and turns errors into exit codes.

    @dataclass(frozen=True)
    class Config:
        max_steps: int = flag(1000, "train to this step", low=1)

`--train=false`, `--train=False`, `--notrain`, `-train=false` and `--flagfile=FILE` work as in absl.
"""

import os
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field, field, fields
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


def flag(
    default: Any, help: str, group: str = "flags", *, choices: tuple[str, ...] = (), low: float = 1,
    high: float = 10**12, path: bool = False, endings: tuple[str, ...] | None = None, same: str = "", new: Any = None,
) -> Any:  # fmt: skip
    """A field of the dataclass, whose type is that of the flag.

    Args:
        default, help, group: its default, which may be None, its text in --help, and the heading there.
        choices: all allowed values; empty: any value.
        low, high: bounds of a number; the default is no limit to anybody and keeps it within 64 bits.
        path, endings: whether it is a path, in which ~ is the home folder, and its allowed endings; "" is none.
        same, new: see `runner.config`.
    """
    rule = {"help": help, "group": group, "choices": choices, "low": low, "high": high, "path": path}
    return field(default=default, metadata=rule | {"endings": endings, "same": same, "new": new})


class _Path(absl_flags.ArgumentParser):
    """A path; one that a flagfile cannot repeat, because absl strips its lines, or that is not UTF-8 is refused."""

    def __init__(self, endings: tuple[str, ...] | None):
        self.endings = endings

    def parse(self, argument: str) -> str:
        if not argument or argument != argument.strip() or re.search("[\0\r\n\ud800-\udfff]|://", argument):
            raise ValueError("expected a path on this machine in UTF-8, without line breaks and spaces at its ends")
        if self.endings is not None and Path(argument).suffix.lower() not in self.endings:
            raise ValueError(f"expected a name that ends in {' or '.join(end or 'nothing' for end in self.endings)}")
        return os.path.expanduser(argument)


class _Boolean(absl_flags.BooleanParser):
    def parse(self, argument: Any) -> bool:
        try:
            return super().parse(argument)
        except ValueError:
            raise ValueError("expected true or false") from None


def _define(values: absl_flags.FlagValues, declared: Field) -> None:
    rule, kind = declared.metadata, (typing.get_args(declared.type) or (declared.type,))[0]  # `int | None` is `int`
    parser: Any = _Path(rule["endings"]) if rule["path"] else absl_flags.ArgumentParser()
    if rule["choices"]:
        parser = absl_flags.EnumParser(rule["choices"])
    elif kind is bool:
        parser = _Boolean()
    elif kind in (int, float):
        parser = {int: absl_flags.IntegerParser, float: absl_flags.FloatParser}[kind](rule["low"], rule["high"])
    help = rule["help"] + (f" <{'|'.join(rule['choices'])}>" if rule["choices"] else "")
    options = {"flag_values": values, "module_name": rule["group"], "boolean": kind is bool}
    absl_flags.DEFINE(parser, declared.name, declared.default, help, **options)


def parse(
    kind: type[T], arguments: Sequence[str], program: str, description: str = "", epilog: str = "", jobs: Mapping = {}
) -> T:
    """The flags in `arguments` as a dataclass; wrong flags end the process with one line and exit code 2.

    Args:
        kind: a dataclass whose fields are made by `flag`; a ValueError from it counts as an error in the flags.
        arguments, program: the arguments, and the program's name for messages.
        description, epilog: the first and the last paragraph of --help.
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
        for name, value in given.items():
            if value != value:
                raise ValueError(f"--{name}={value}: expected a number")
        config: Any = kind(**given)
        for each in declared if jobs else ():
            if each.name not in jobs[config.job][1] and given[each.name] != each.default:
                raise ValueError(f"--{each.name} has no effect on this job ({config.job}). Leave it out.")
        return config
    except (absl_flags.Error, OSError, ValueError) as error:
        print(f"{program}: error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(2)


def one_line(message: str) -> str:
    """The message without line breaks."""
    return re.sub(r"\s*[\r\n]+\s*", " ", message.strip())


def exit_code(program: str, job: Callable[[], int]) -> int:
    """Runs a job and returns its exit code: 1 after an error, which is printed in one line, and 130 after Ctrl-C.

    A bug of ours keeps its traceback: only faults that the user can mend become a line.
    """
    from input_data import DataError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a picture's name need not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        return job()
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        # TensorFlow's words for what is no bug: too little memory or disk, no permission, a machine that has stopped.
        names = ("ResourceExhaustedError", "PermissionDeniedError", "UnavailableError", "AbortedError")
        if not isinstance(error, UserError | DataError | OSError) and type(error).__name__ not in names:
            raise
        print(f"{program}: error: {one_line(getattr(error, 'message', str(error)))}", file=sys.stderr)
        return 1
