"""Flags from a dataclass in absl's syntax, and the exit codes of programs."""

from dataclasses import dataclass

import pytest

from input_data import DataError
from runner.flags import UserError, exit_code, flag, parse


@dataclass(frozen=True)
class Config:
    train: bool = flag(True, "train")
    steps: int = flag(10, "steps", low=1, high=100)
    hours: float = flag(6.0, "hours", low=0)
    kind: str | None = flag(None, "kind", choices=("a", "b"))
    digits: int | None = flag(None, "digits", low=1, high=2)
    folder: str | None = flag(None, "folder", path=True)
    file: str | None = flag(None, "file", path=True, endings=(".csv", ""))


def read(*arguments):
    return parse(Config, arguments, "program.py", "Does it.")


@pytest.mark.parametrize("form", ["--train=false", "--train=False", "--notrain", "-train=false", "--train=0"])
def test_absls_forms_of_a_boolean(form):
    assert read(form) == Config(train=False)


def test_values_have_their_types(tmp_path):
    config = read("--steps=7", "--hours", "0.5", "--kind=b", "--digits=2", "--folder=~/x", "--file=a.CSV")
    assert (config.steps, config.hours, config.kind, config.digits, config.file) == (7, 0.5, "b", 2, "a.CSV")
    assert not config.folder.startswith("~")
    (tmp_path / "flags.txt").write_text("--steps=7\n--kind=b\n")
    assert read(f"--flagfile={tmp_path}/flags.txt", "--steps=8") == Config(steps=8, kind="b")


@pytest.mark.parametrize("argument", [
    "--steps=0", "--steps=--", "--steps=", "--steps=1.5", "--steps=1e400", "--hours=nan", "--hours=-1", "--hours=inf",
    "--kind=c", "--digits=3", "--train=maybe", "--folder=", "--folder=a ", "--folder=a\nb", "--folder=gs://a/b",
    "--file=a.npz", "--step=3", "rest", "--flagfile=/not/there",
])  # fmt: skip
def test_a_wrong_flag_ends_with_one_line_and_exit_code_2(argument, capsys):
    with pytest.raises(SystemExit) as leave:
        read(argument)
    errors = capsys.readouterr().err
    assert leave.value.code == 2 and errors.startswith("program.py: error: ") and errors.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserError("a\nb"), 1), (DataError("x"), 1), (OSError(28, "full"), 1), (KeyboardInterrupt(), 130)],
)
def test_what_the_user_can_mend_is_one_line(error, code, capsys):
    def job():
        raise error

    assert exit_code("program.py", job) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ValueError, match="of NumPy"):
        exit_code("program.py", lambda: (_ for _ in ()).throw(ValueError("of NumPy")))
