"""The names of a checkpoint."""

import pytest

from models import pretrained
from runner.naming import MissingCheckpoint, resolve


@pytest.fixture
def run(tmp_path):
    """A run with two checkpoints and a best one."""
    for name in ("train/model.ckpt-9", "train/model.ckpt-10", "test/best/model.ckpt-9"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.index").touch()
        (tmp_path / f"{name}.data-00000-of-00001").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("", "train/model.ckpt-10"),
        ("/", "train/model.ckpt-10"),
        ("/train", "train/model.ckpt-10"),
        ("/latest", "train/model.ckpt-10"),
        ("/train/latest", "train/model.ckpt-10"),
        ("/test/best", "test/best/model.ckpt-9"),
        ("/best", "test/best/model.ckpt-9"),
        ("/train/model.ckpt-9", "train/model.ckpt-9"),
        ("/train/model.ckpt-9.index", "train/model.ckpt-9"),
        ("/train/model.ckpt-9.data-00000-of-00001", "train/model.ckpt-9"),
    ],
)
def test_a_checkpoint_has_many_names(name, prefix, run):
    assert resolve(f"{run}{name}") == str(run / prefix)


def test_latest_and_best_alone_are_of_the_run(run, monkeypatch):
    assert resolve("latest", run) == str(run / "train/model.ckpt-10")
    assert resolve("best", run) == str(run / "test/best/model.ckpt-9")
    monkeypatch.chdir(run)
    assert resolve("best") == "test/best/model.ckpt-9"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none/model.ckpt-1", "There is no checkpoint"),
        ("train/model.ckpt-7", "has the steps 9 to 10"),
        ("empty", "There is no checkpoint"),
        ("other/best", "Evaluations with --validate keep the best"),
        ("other/latest", "There is no checkpoint"),
    ],
)
def test_what_is_missing_is_named(name, words, run):
    (run / "empty").mkdir()
    with pytest.raises(MissingCheckpoint, match=words) as error:
        resolve(str(run / name))
    assert str(run) in str(error.value)


def test_a_network_that_ships_has_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one/config.json").write_text("{}")
    (tmp_path / "one/SHA256SUMS").write_text(pretrained.checksum_line(tmp_path / "one/config.json"))
    assert resolve("pretrained:one") == str(tmp_path / "one/weights.npz")
    with pytest.raises(MissingCheckpoint, match="The networks are: one"):
        resolve("pretrained:two")
    (tmp_path / "one/config.json").write_text("[]")
    with pytest.raises(ValueError, match="config.json does not match its checksum"):
        resolve("pretrained:one")
