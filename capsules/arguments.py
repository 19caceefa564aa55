"""Checks the arguments of layers and networks: each function returns the value in one form or raises ValueError."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any


def count(name: str, value: Any) -> int:
    """A whole number of 1 or more.

    Args:
        name: the name of the number for the message, such as "Capsules: atoms".
        value: the argument; NumPy's integers are accepted, booleans are not.

    Raises:
        ValueError: the argument is anything else.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of 1 or more. Received: {value!r}")
    return int(value)


def counts(name: str, value: Any, meaning: str) -> tuple[int, ...]:
    """Several whole numbers of 1 or more, as many as there are names in `meaning`, such as "(rows, columns)".

    Raises as `count`.
    """
    expected = meaning.count(",") + 1
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != expected:
        raise ValueError(f"{name} must be {expected} whole numbers {meaning}. Received: {value!r}")
    return tuple(count(f"Each of {name} {meaning}", each) for each in value)


def sides(name: str, value: Any) -> tuple[int, int]:
    """(rows, columns) of a kernel or of its step, from one number for both or from two. Raises as `count`."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        rows, columns = counts(name, value, "(rows, columns)")
        return rows, columns
    return count(name, value), count(name, value)


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of a few words, in lower case.

    Raises:
        ValueError: the argument is none of them.
    """
    word = value.lower() if isinstance(value, str) else value
    if word not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {value!r}")
    return word
