"""The generator: what it writes reads back as what it says, the same each time, or not at all."""

import hashlib
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from input_data import Options, evaluation_batches, open_split
from input_data.formats import records
from input_data.mnist import mnist_shift
from input_data.mnist.mnist_test import digits, write_idx, write_payloads


def read_all(data_dir, split="train", **options):
    opened = open_split("mnist", split, str(data_dir), Options(**options))
    batches = list(evaluation_batches(opened, 50))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def test_single_digits_stand_at_every_place(tmp_path):
    images, labels = digits(3, size=4)
    write_idx(tmp_path, images, labels)
    assert mnist_shift.main([f"--data_dir={tmp_path}"]) == 0
    actual = read_all(tmp_path)
    assert actual["images"].shape == (75, 4, 4, 1) and actual["labels"][:, 0].tolist() == [0] * 25 + [1] * 25 + [2] * 25
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    places = [(digit, down, right) for digit in range(3) for down in range(-2, 3) for right in range(-2, 3)]
    for image, (digit, down, right) in zip(actual["images"], places, strict=True):
        expected = padded[digit, 2 - down : 6 - down, 2 - right : 6 - right]
        np.testing.assert_allclose(image[..., 0] * 255, expected, atol=1e-4)


def test_pairs_go_to_random_shards_of_at_most_max_shard(tmp_path):
    images, labels = digits(20, size=4)
    write_idx(tmp_path, images, labels, "test")
    flags = [f"--data_dir={tmp_path}", "--split=test", "--shift=1", "--pad=1", "--num_pairs=6", "--max_shard=50"]
    assert mnist_shift.main([*flags, "--multi_targets=true"]) == 0
    name = "multitest_1shifted_mnist.tfrecords"
    assert sorted(path.name for path in tmp_path.glob("multi*")) == [f"{name}-0000{i}-of-00003" for i in range(3)]
    actual = read_all(f"{tmp_path}/{name}@3", "test", num_targets=2)
    assert actual["images"].shape == (120, 6, 6, 1)
    assert (actual["labels"][:, 0] != actual["labels"][:, 1]).all()
    assert Counter(actual["labels"][:, 0].tolist()) == dict.fromkeys(range(10), 12)
    np.testing.assert_allclose(actual["images"], np.minimum(actual["reconstruction_targets"].sum(axis=1), 1), atol=1e-6)
    assert len({pair[0].tobytes() for pair in actual["reconstruction_targets"]}) == 20  # the first is shifted once
    sizes = [len(open_split("mnist", "test", f"{path}", Options(num_targets=2))) for path in tmp_path.glob("multi*")]
    assert sizes == [40, 40, 40]


def test_nothing_is_overwritten_nor_a_disk_filled_and_a_failure_leaves_nothing(tmp_path, capsys, monkeypatch):
    write_idx(tmp_path, *digits(2, size=4))
    path, command = tmp_path / "train_2shifted_mnist.tfrecords", [f"--data_dir={tmp_path}"]
    path.write_bytes(b"precious")
    assert mnist_shift.main(command) == 1 and "add --overwrite" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(records.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
        assert mnist_shift.main([*command, "--overwrite"]) == 1 and "MB of free space" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(mnist_shift.Template, "blanks", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            mnist_shift.main([*command, "--overwrite"])
    assert path.read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 3
    assert mnist_shift.main([*command, "--overwrite"]) == 0 and path.read_bytes() != b"precious"


def test_files_are_those_of_tensorflows_writer_and_of_earlier_versions(tmp_path):
    write_idx(tmp_path, *digits(20, size=4))
    pairs = ["--multi_targets=true", "--num_pairs=3", "--max_shard=25", "--seed=1"]
    assert mnist_shift.main([f"--data_dir={tmp_path}"]) == mnist_shift.main([f"--data_dir={tmp_path}", *pairs]) == 0
    contents = b""
    for path in sorted(tmp_path.glob("*.tfrecords*")):
        copy, written = tmp_path / "copy", tf.data.TFRecordDataset(str(path)).batch(999)  # it verifies the checksums
        messages = map(tf.train.Example.FromString, next(iter(written)).numpy())
        write_payloads(copy, [message.SerializeToString(deterministic=True) for message in messages])
        assert path.read_bytes() == copy.read_bytes()
        contents += copy.read_bytes()
    assert hashlib.sha256(contents).hexdigest()[:16] == "e6213fb9bfe03271"


@pytest.mark.parametrize(("flag", "words"), [("--shift=99", "range [0, 19]"), ("--shft=1", "'shft'"), ("x", "x")])
def test_wrong_flags_get_one_line_and_exit_code_2(flag, words, tmp_path, capsys):
    assert mnist_shift.main([f"--data_dir={tmp_path}", flag]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mnist_shift.py: error: ") and words in error and error.count("\n") == 1
    assert mnist_shift.main([flag]) == 2 and mnist_shift.main(["--help"]) == 0
    assert mnist_shift.main([f"--data_dir={tmp_path}", "--multi_targets=true"]) == 1
    assert "needs --num_pairs" in capsys.readouterr().err
