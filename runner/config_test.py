"""The flags of a run, and config.json: what is written is read again, older files too, and differences are named."""

import json
from dataclasses import fields, replace

import pytest

from models.hparams import HParams
from runner import config
from runner.config import NetworkConfig, NetworkFlags, RunConfig, flag_lines
from runner.flags import UserError, parse

NAMES = ["cat\u00a0black", "三毛\u3000猫", "می\u200cروم", "👩\u200d🔬", "tab\there", "x" * 300, "Möbel", "$$"]
NAMES += ["<b>dog</b>", "[a] {b}", "a,b", "1e999", " ", "\udce9"]


@pytest.fixture
def saved(tmp_path):
    """A config and its file."""
    flags = vars(RunConfig(seed=3)) | {"model": "capsule", "dataset": "folder", "image_size": 20, "grayscale": True}
    flags["num_targets"] = 1
    written = NetworkConfig(flags, HParams(routing=2), (20, 20, 1), tuple(NAMES), {"python": "3"}, None,
                            {"examples": 6}, (1.5, 2.0, 3.0, 4.0))  # fmt: skip
    config.write(tmp_path, written)
    return written, tmp_path / "config.json"


def test_what_is_written_is_read_again(saved, tmp_path):
    written, path = saved
    assert config.read(tmp_path) == written
    assert json.loads(path.read_text())["flags"]["dataset"] == "folder"
    assert config.read(tmp_path / "none") is None


def test_a_field_that_an_older_version_did_not_write_has_its_default(saved, tmp_path):
    written, path = saved
    content = json.loads(path.read_text())
    for name in ("data", "statistics", "model_sha256", "versions", "git_commit"):
        del content[name]
    del content["flags"]["grayscale"], content["flags"]["seed"], content["hparams"]["staircase"]
    path.write_text(json.dumps(content))
    old = config.read(tmp_path)
    assert (old.image_size, old.grayscale, old.hparams) == (20, False, HParams(routing=2))
    same = replace(written, flags={**written.flags, "grayscale": False})
    assert not config.conflicts(old.facts("run"), same.facts("run"))


def test_another_run_is_told_apart_and_a_harmless_change_is_none(saved):
    written, _ = saved
    other = replace(written, flags={**written.flags, "seed": 4, "precision": "float16", "max_steps": 9},
                    hparams=HParams(), data={"examples": 7})  # fmt: skip
    words = config.conflicts(written.facts("run"), other.facts("run"))
    for part in ("routing was 2 and is now 3", "seed was 3 and is now 4", "precision", "data examples was 6"):
        assert part in words
    assert words.count(";") == 3
    talkative = replace(written, hparams=HParams(routing=2, verbose=True))
    assert not config.conflicts(written.facts("run"), talkative.facts("run"))


def test_flags_change_a_network_one_by_one():
    network = NetworkConfig(hparams=HParams(routing=2))
    changed = network.with_flags(NetworkFlags(hparams_override="leaky=true", num_targets=2))
    assert (changed.hparams, changed.num_targets, changed.model) == (HParams(routing=2, leaky=True), 2, "capsule")
    with pytest.raises(UserError, match="Unknown hparam 'x'"):
        network.with_flags(NetworkFlags(hparams_override="x=1"))
    recipe = network.with_flags(NetworkFlags(preset="svhn", hparams_override="conv_channels=4")).hparams
    assert recipe == HParams(routing=2, conv_channels=4, num_prime_capsules=16, primary_atoms=6, class_atoms=8)


WRONG = [{"hparams": {"routing": 0}}, {"hparams": []}, {"image_shape": [20, 20]}, {"image_shape": None},
         {"class_names": 3}, {"of_tomorrow": 1}, b"", b"{", b"null", b"\xff\xfe{}"]  # fmt: skip


def test_a_wrong_value_and_other_content_are_refused_with_the_file(saved, tmp_path):
    _, path = saved
    written = json.loads(path.read_text())
    for content in WRONG:
        if isinstance(content, dict):
            values = written | content
            content = json.dumps({name: value for name, value in values.items() if value is not None}).encode()
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged or of another version") as error:
            config.read(tmp_path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


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


def test_flags_say_one_job():
    for arguments, job in (
        ("--num_trials=2", "train"),
        ("--train=false", "watch"),
        ("--train=false --checkpoint=a", "evaluate"),
        ("--train=false --num_trials=2 --checkpoint=a{}", "evaluate"),
        ("--predict=b", "use"),
        ("--checkpoint=a --export=b --num_trials=2", "use"),
        ("--check_data", "check_data"),
    ):
        assert read(*arguments.split()).job == job


@pytest.mark.parametrize("name", [f.name for f in fields(RunConfig) if f.type in (int, float, int | None)])
def test_a_number_out_of_range_is_refused_for_every_flag(name, capsys):
    for value in ("-1", "1e400", "nan", str(2**63), str(10**40), "x", ""):
        with pytest.raises(SystemExit) as leave:
            read(f"--{name}={value}")
        err = capsys.readouterr().err
        assert leave.value.code == 2 and f"--{name}=" in err and err.count("\n") == 1
