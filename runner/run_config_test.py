"""The configuration of a run."""

from dataclasses import fields

import pytest

from runner.flags import parse
from runner.run_config import RunConfig, flag_lines

SPEC = {  # the flags of 2017 with their defaults
    "data_dir": None, "hparams_override": None, "max_steps": 1000, "num_gpus": 1, "num_trials": 1, "save_step": 1500,
    "summary_dir": None, "checkpoint": None, "train": True, "validate": False,
}  # fmt: skip


def read(*arguments):
    return parse(RunConfig, arguments, "experiment.py", "")


def test_flags_of_2017_keep_their_defaults():
    config = read()
    assert {name: getattr(config, name) for name in SPEC} == SPEC
    assert config == RunConfig() and config.job == "train"


def test_what_is_written_as_a_flagfile_is_read_as_the_same_run(tmp_path):
    config = read("--summary_dir=a b", "--notrain", "--eval_timeout=0.5", "--hparams_override=routing=1,leaky=true")
    (tmp_path / "flags.txt").write_text(flag_lines(vars(config)))
    assert read(f"--flagfile={tmp_path}/flags.txt") == config


@pytest.mark.parametrize(("arguments", "job"), [
    ([], "train"),
    (["--num_trials=2"], "train"),
    (["--train=false"], "watch"),
    (["--train=false", "--checkpoint=a"], "evaluate"),
    (["--train=false", "--num_trials=2", "--checkpoint=a{}"], "evaluate"),
    (["--predict=b"], "use"),
    (["--checkpoint=a", "--export=b", "--num_trials=2"], "use"),
    (["--check_data"], "check_data"),
])  # fmt: skip
def test_flags_say_one_job(arguments, job):
    assert read(*arguments).job == job


@pytest.mark.parametrize("name", [f.name for f in fields(RunConfig) if f.type in (int, float, int | None)])
def test_a_number_out_of_range_is_refused_for_every_flag(name, capsys):
    for value in ("-1", "1e400", "nan", str(2**63), str(10**40), "x", ""):
        with pytest.raises(SystemExit) as leave:
            read(f"--{name}={value}")
        err = capsys.readouterr().err
        assert leave.value.code == 2 and f"--{name}=" in err and err.count("\n") == 1
