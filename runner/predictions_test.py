"""The files of --predictions."""

import csv

import numpy as np
import pytest

from runner.predictions import write

LOGITS = np.array([[0.25, 0.5, 0.75], [1.0, 0.0, 0.5]], np.float32)
BEST = np.array([[2, 1], [0, 2]])
LABELS = np.array([[2, 1], [0, 1]])


def test_a_table_names_classes(tmp_path):
    write(tmp_path / "new" / "out.CSV", ("a", "b,", "c"), LOGITS, BEST, LABELS)
    rows = list(csv.reader((tmp_path / "new" / "out.CSV").open(newline="")))
    heads = ["example", "label", "label 2", "prediction", "prediction 2", "logit a", "logit b,", "logit c"]
    assert rows == [heads, ["0", "c", "b,", "c", "b,", "0.25", "0.5", "0.75"],
                    ["1", "a", "b,", "a", "c", "1.0", "0.0", "0.5"]]  # fmt: skip


def test_arrays_have_names(tmp_path):
    write(tmp_path / "out.npz", ("a", "b", "c"), LOGITS, BEST, names=["x.png", "y.png"])
    with np.load(tmp_path / "out.npz") as arrays:
        assert set(arrays) == {"logits", "predictions", "class_names", "names"}
        np.testing.assert_array_equal(arrays["logits"], LOGITS)
        assert arrays["names"].tolist() == ["x.png", "y.png"] and arrays["class_names"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["out.txt", "out", "folder.csv"])
def test_another_ending_or_a_folder_is_refused(name, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="--predictions takes a (.npz or .csv )?file"):
        write(tmp_path / name, ("a", "b", "c"), LOGITS, BEST)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]
