"""The steps with which jobs begin."""

import os

import keras
import pytest

from runner.run import download_data, make_folder, set_precision
from runner.run_config import RunConfig


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    make_folder(tmp_path / "a/b")
    make_folder(tmp_path / "a/b")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file/s")
    if os.getuid():  # root may write anywhere
        (tmp_path / "a").chmod(0o500)
        with pytest.raises(OSError, match="Cannot write to"):
            make_folder(tmp_path / "a")


def test_precision_is_a_policy_of_layers():
    try:
        set_precision("bfloat16")
        assert keras.layers.Dense(1).dtype_policy.name == "mixed_bfloat16"
    finally:
        set_precision("float32")
    assert keras.layers.Dense(1).dtype_policy.name == "float32"


def test_data_is_fetched_only_where_the_flags_say_so():
    download_data(RunConfig())
    with pytest.raises(ValueError, match="--download needs a --data_dir"):
        download_data(RunConfig(download=True))


def test_a_folder_whose_name_is_not_utf8_is_refused_before_anything_is_written(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(ValueError, match=r"not UTF-8. Received: .*caf\\xe9"):
        make_folder(folder)
    assert not folder.exists()
