"""The converter: original binary matrices become records that read back, and damaged ones are refused."""

import errno
import gzip
import os
from types import SimpleNamespace

import numpy as np
import pytest

from input_data import evaluation_batches, open_split
from input_data.formats import files
from input_data.images import standardised
from input_data.norb import norb_convert

MAGIC = {"u1": 0x1E3D4C55, "<i4": 0x1E3D4C54}


def write_matrix(path, array, dtype, packed):
    dimensions = [*array.shape, 1, 1, 1][: max(3, array.ndim)]
    content = np.array([MAGIC[dtype], array.ndim, *dimensions], "<u4").tobytes() + array.astype(dtype).tobytes()
    path = path.with_name(path.name + ".gz") if packed else path
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.fixture(params=[False, True])
def original(request, tmp_path):
    """A folder with both splits in the original format, and its images."""
    random, images = np.random.RandomState(1), {}
    for split, name in norb_convert.NAMES.items():
        images[split] = random.randint(0, 256, (10, 2, 96, 96)).astype(np.uint8)
        info = np.stack([np.arange(10) // 5 + 4, *np.zeros((3, 10))], axis=1)
        matrices = {"dat": (images[split], "u1"), "cat": (np.arange(10) % 5, "<i4"), "info": (info, "<i4")}
        for kind_of_file, (array, dtype) in matrices.items():
            write_matrix(tmp_path / name.format(kind_of_file), array, dtype, request.param)
    return tmp_path, images


def test_converted_records_read_back(original):
    folder, images = original
    assert norb_convert.main([f"--data_dir={folder}"]) == 0
    (batch,) = evaluation_batches(open_split("norb", "test", str(folder)), 20)
    expected = images["test"][:, :, 16:80:2, 16:80:2].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(batch["images"], standardised(expected), atol=1e-6)
    assert batch["labels"][:, 0].tolist() == [0, 1, 2, 3, 4] * 2
    assert open_split("norb", "valid_test", str(folder)).indices.tolist() == [5, 6, 7, 8, 9]
    assert norb_convert.main([f"--data_dir={folder}"]) == 1  # nothing is overwritten unless asked
    assert norb_convert.main([f"--data_dir={folder}", "--overwrite"]) == 0


IMAGES, LABELS, META = np.zeros((10, 2, 96, 96)), np.arange(10) % 5, np.zeros((10, 4))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("kind_of_file", "array", "dtype", "cut", "words"),
    [
        ("dat", IMAGES, "<i4", None, "magic number of type u1. Received 0x1e3d4c54"),
        ("dat", np.zeros((10, 2, 48, 48)), "u1", None, "96, 96). Received (10, 2, 48, 48)"),
        ("dat", IMAGES, "u1", -1, "cut short or damaged"),
        ("dat", IMAGES, "u1", 3, "cut short or damaged|Received 0x00000000"),
        ("dat", IMAGES, "u1", 0, "cut short or damaged|Received 0x00000000"),
        ("cat", LABELS + 1, "<i4", None, "labels must be whole numbers from 0 to 4. Received 5 at index 4"),
        ("cat", LABELS[:9], "<i4", None, "should have the dimensions (10,). Received (9,)"),
        ("cat", LABELS, "<i4", -3, "cut short or damaged"),
        ("info", META[:, :3], "<i4", None, "should have the dimensions (10, 4). Received (10, 3)"),
    ],
)
def test_damaged_matrices_are_refused(kind_of_file, array, dtype, cut, words, packed, tmp_path, capsys):
    intact = {"dat": (IMAGES, "u1"), "cat": (LABELS, "<i4"), "info": (META, "<i4")}
    for name, (content, kind) in (intact | {kind_of_file: (array, dtype)}).items():
        path = write_matrix(tmp_path / norb_convert.NAMES["train"].format(name), content, kind, packed)
        if name == kind_of_file:
            path.write_bytes(path.read_bytes()[:cut])
    assert norb_convert.main([f"--data_dir={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and any(some in error for some in words.split("|"))
    assert not list(tmp_path.glob("*tfrecords*"))


def test_missing_files_are_named(tmp_path, capsys):
    assert norb_convert.main([f"--data_dir={tmp_path}"]) == 1
    assert "lacks smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence_and_leaves_the_older_file(original, capsys, monkeypatch):
    folder, _ = original
    (folder / "trainduo.tfrecords").write_bytes(b"precious")
    with monkeypatch.context() as patch:
        patch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        assert norb_convert.main([f"--data_dir={folder}", "--overwrite"]) == 1
    assert "MB of free space" in capsys.readouterr().err

    def full(payload):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(norb_convert, "record", full)
    assert norb_convert.main([f"--data_dir={folder}", "--overwrite"]) == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error and "trainduo.tfrecords" in error and "Traceback" not in error
    assert (folder / "trainduo.tfrecords").read_bytes() == b"precious"
    assert not [path for path in folder.iterdir() if path.name[0] == "."]
