"""config.json: what is written is read again, and whatever else a file may hold gets one sentence."""

import copy
import json
import random

import pytest

from models.hparams import HParams
from runner import config
from runner.config import NetworkSpec
from runner.run_config import RunConfig


@pytest.fixture
def saved(tmp_path):
    """A config and its file."""
    network = NetworkSpec("capsule", HParams(routing=2), "folder", 1, 20, True)
    written = config.make(network, (20, 20, 1), ("cat", "<b>dog</b>"), vars(RunConfig(seed=3)), {"examples": 6},
                          (1.5, 2.0, 3.0, 4.0))  # fmt: skip
    config.write(tmp_path, written)
    return written, tmp_path / "config.json"


def test_what_is_written_is_read_again(saved, tmp_path):
    written, path = saved
    assert config.read(tmp_path) == written
    assert json.loads(path.read_text())["flags"]["dataset"] == "folder"
    assert config.read(tmp_path / "none") is None


def test_a_config_of_the_first_version_is_read(saved, tmp_path):
    _, path = saved
    content = json.loads(path.read_text())
    del content["data"], content["statistics"], content["flags"]["eval_every"]
    path.write_text(json.dumps(content))
    assert config.read(tmp_path).network.image_size == 20


def test_another_run_is_told_apart(saved, tmp_path):
    written, _ = saved
    other = config.make(NetworkSpec("capsule", HParams(), "folder", 1, 20, True), (20, 20, 1), written.class_names,
                        vars(RunConfig(seed=4, precision="float16")), {"examples": 7})  # fmt: skip
    with pytest.raises(ValueError) as error:
        config.check_same_run(written, other, tmp_path)
    for words in ("routing was 2 and is now 3", "seed was 3 and is now 4", "precision", "data examples was 6"):
        assert words in str(error.value)
    config.check_same_run(written, written, tmp_path)


FAULTS = {
    "flags": [("model", "vit"), ("model", None), ("dataset", 7), ("num_targets", 0), ("num_targets", True),
              ("num_targets", 20), ("max_steps", "9"), ("max_steps", 2**70), ("image_size", 10**9), ("of_tomorrow", 1),
              ("grayscale", "false"), ("num_targets", 1.0)],
    "hparams": [("routing", "3"), ("routing", 0), ("leaky", 1), ("padding", "none"), ("of_tomorrow", 1),
                ("learning_rate", None), ("routing", [3])],
    "": [("flags", None), ("hparams", []), ("image_shape", {}), ("image_shape", [20, 20]), ("image_shape", [0, 20, 1]),
         ("image_shape", [10**9, 20, 1]), ("image_shape", [20.0, 20, 1]), ("class_names", "ab"), ("class_names", ["a"]),
         ("class_names", [1, 2]), ("class_names", ["a", "a"]), ("class_names", ["a", ""]), ("class_names", ["a", "\n"]),
         ("class_names", ["a", "b" * 10**5]), ("versions", [1]), ("data", {"examples": "6"}), ("of_tomorrow", 1),
         ("statistics", [1.0]), ("statistics", [1.0, 2.0, 0.0, 3.0]), ("statistics", [1.0, 2.0, 3.0, None])],
}  # fmt: skip


@pytest.mark.parametrize(("where", "name", "value"), [(w, n, v) for w, cases in FAULTS.items() for n, v in cases])
def test_a_wrong_value_is_named_with_its_file_and_field(where, name, value, saved, tmp_path):
    _, path = saved
    content = json.loads(path.read_text())
    (content[where] if where else content)[name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="damaged or of another version") as error:
        config.read(tmp_path)
    assert str(path) in str(error.value) and name in str(error.value)
    assert len(str(error.value)) < 500 and "\n" not in str(error.value)


@pytest.mark.parametrize("where", ["flags.model", "flags.num_targets", "hparams.routing", "hparams", "flags",
                                   "class_names", "image_shape"])  # fmt: skip
def test_a_missing_field_is_named(where, saved, tmp_path):
    _, path = saved
    content = json.loads(path.read_text())
    *outer, name = where.split(".")
    del (content[outer[0]] if outer else content)[name]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"has no {name}"):
        config.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"3", b"null", b"[]", b"\xff\xfe{}", b"[" * 10**5, b'{"a": NaN}', b'{"flags": {}, "flags": {}}',
     b"9" * 10**4, b" " * 2**23],
    ids=lambda content: str(content[:8]),
)  # fmt: skip
def test_other_content_gets_one_sentence(content, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match="config.json is damaged or of another version"):
        config.read(tmp_path)


def test_whatever_is_changed_the_reader_reads_it_or_says_one_sentence(saved, tmp_path):
    _, path = saved
    good, draw = json.loads(path.read_text()), random.Random(7)
    odd = [None, True, -1, 0, 1e300, 2**80, "", "x", "\0", [], {}, [[]], {"a": {}}, "9" * 1000]
    refused = 0
    for _ in range(500):
        content = copy.deepcopy(good)
        holder = draw.choice([content, content["flags"], content["hparams"]])
        name = draw.choice(list(holder))
        value = holder.pop(name)
        if draw.random() < 0.8:
            holder[name] = draw.choice(odd)
        elif draw.random() < 0.5:
            holder[f"{name}x"] = value
        path.write_text(json.dumps(content))
        try:
            config.read(tmp_path)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 300
