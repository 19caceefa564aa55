"""Flags: every way of writing them, and one line for each that is wrong."""

from dataclasses import MISSING, dataclass, replace
from pathlib import Path

import pytest

from input_data.flags import exit_code, flag, parse


@dataclass(frozen=True)
class Config:
    """Flags of each kind."""

    data: str = flag(MISSING, "a folder", path=True)
    train: bool = flag(True, "train", "what")
    steps: int = flag(10, "how many", "what", low=1, high=100)
    rate: float = flag(0.5, "how fast", "what", low=0)
    name: str | None = flag(None, "what it is called", choices=("a", "b"))
    out: str | None = flag(None, "100% of it", path=True, endings=(".csv", ""))

    def __post_init__(self):
        if self.name == "b" and self.train:
            raise ValueError("--name=b goes with --train=false")


def read(*arguments):
    return parse(Config, ["--data=d", *arguments], "program.py", "Does it.")


@pytest.mark.parametrize("word", ["false", "False", "FALSE", "f", "0"])
def test_a_boolean_is_false_in_every_spelling(word):
    for arguments in ([f"--train={word}"], [f"-train={word}"], ["--train", word]):
        assert read(*arguments).train is False
    assert read("--notrain").train is read("-notrain").train is False
    assert read("--notrain", "--train").train is read("--train=true").train is True


def test_what_is_not_given_has_its_default():
    assert read() == Config("d", True, 10, 0.5, None, None)
    assert read("--steps=7", "-rate", "1e-3", "--name=a") == Config("d", True, 7, 0.001, "a", None)


def test_a_flagfile_gives_flags_that_later_ones_change(tmp_path):
    (tmp_path / "flags").write_text("# a comment\n--steps=7\n-train=false\n")
    assert read(f"--flagfile={tmp_path}/flags", "--steps=8") == Config("d", False, 8)


def test_the_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert read("--out=~/x.csv").out == "/somewhere/x.csv"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--step=7"], "--step=7. Did you mean --steps?"),
        (["--zzz=7"], "--zzz=7. --help lists the flags."),
        (["word"], "unrecognized arguments: word"),
        (["--train", "no"], "--train: expected true or false, received 'no'"),
        (["--steps=0"], "--steps: expected a whole number, 1 or more, received '0'"),
        (["--steps=101"], "--steps: expected a whole number, 100 at most, received '101'"),
        (["--steps=1.5"], "--steps: expected a whole number, received '1.5'"),
        (["--steps=" + "9" * 5000], "--steps: expected a whole number"),
        (["--steps=७"], "--steps: expected a whole number, received '७'"),
        (["--rate=nan"], "--rate: expected a number, received 'nan'"),
        (["--rate=inf"], "--rate: expected a number, received 'inf'"),
        (["--rate=1e999"], "--rate: expected a number, inf at most, received 'inf'"),
        (["--name=c"], "--name: invalid choice: 'c' (choose from"),
        (["--name=b"], "--name=b goes with --train=false"),
        (["--data=gs://bucket/x"], "--data: expected a path on this machine, not an address"),
        (["--data="], "--data: expected a path, received ''"),
        (["--out=x.txt"], "--out: expected a name that ends in .csv or without an ending, received 'x.txt'"),
        (["--flagfile=/not/there"], "/not/there"),
        (["--steps"], "--steps: expected one argument"),
    ],
)
def test_a_wrong_flag_gets_one_line_and_exit_code_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as leave:
        read(*arguments)
    printed = capsys.readouterr()
    assert leave.value.code == 2 and not printed.out
    assert printed.err.startswith("program.py: error: ") and printed.err.count("\n") == 1
    assert words in printed.err


def test_a_flag_that_must_be_given_is_named(capsys):
    with pytest.raises(SystemExit) as leave:
        parse(Config, [], "program.py", "Does it.")
    assert leave.value.code == 2 and "required: --data" in capsys.readouterr().err


def test_help_is_as_wide_as_the_terminal_and_shows_absls_flags_only_if_asked(capsys, monkeypatch):
    for columns in (60, 140):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as leave:
            read("--help")
        out = capsys.readouterr().out
        assert leave.value.code == 0 and max(map(len, out.splitlines())) <= columns
        assert "--steps N" in out and "(default: 10)" in out and "100% of it" in out
        assert "flagfile" not in out and "--notrain" not in out
    with pytest.raises(SystemExit) as leave:
        read("--helpfull")
    assert leave.value.code == 0 and "--flagfile" in capsys.readouterr().out


def _fail(error):
    raise error


def test_a_job_ends_with_its_code_or_one_sentence(capsys):
    assert exit_code("p.py", lambda: 3) == 3
    for error, code in ((ValueError("no\n  way"), 1), (OSError(28, "No space"), 1), (KeyboardInterrupt(), 130)):
        assert exit_code("p.py", lambda error=error: _fail(error)) == code
    err = capsys.readouterr().err
    assert "p.py: error: no way\n" in err and "No space" in err and "Traceback" not in err
    with pytest.raises(KeyError):  # a fault of the program itself is not hidden
        exit_code("p.py", lambda: _fail(KeyError("x")))


def test_making_a_config_does_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = replace(read(), data="new")
    assert config.data == "new" and not list(Path().iterdir())
