"""`--download`, from a mirror of made files on disk."""

import hashlib
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from input_data import DataError, download, open_split
from input_data.cifar10.sources_test import write_pickles
from input_data.mnist.mnist_test import digits, write_idx


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder of made files in the place of the internet, with their checksums."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    images, labels = digits(30)
    np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images[:7], y_test=labels[:7])
    write_idx(folder, images, labels)
    write_idx(folder, images[:7], labels[:7], "test")
    write_pickles(tmp_path / "cifar-10-batches-py")
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    remotes = {}
    for dataset, files in download.REMOTES.items():
        paths = [folder / remote.name for remote in files]
        sums = [
            remote.sha256 and hashlib.sha256(p.read_bytes()).hexdigest() for remote, p in zip(files, paths, strict=True)
        ]
        remotes[dataset] = tuple(
            replace(remote, url=path.as_uri(), sha256=total)
            for remote, path, total in zip(files, paths, sums, strict=True)
        )
    monkeypatch.setattr(download, "REMOTES", remotes)
    return folder


@pytest.mark.parametrize(("dataset", "size"), [("mnist", 7), ("fashion_mnist", 7), ("cifar10", 6)])
def test_what_is_fetched_is_read_and_not_fetched_again(dataset, size, mirror, tmp_path, capsys):
    for _ in range(2):
        download.download(dataset, str(tmp_path / "new"))
        assert len(open_split(dataset, "test", str(tmp_path / "new"))) == size
    assert capsys.readouterr().out.count("Fetching") == len(download.REMOTES[dataset])
    assert not [path for path in (tmp_path / "new").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_nothing_is_kept_of_content_with_another_checksum(dataset, mirror, tmp_path):
    (path,) = (mirror / remote.name for remote in download.REMOTES[dataset])
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(DataError, match=r"Cannot fetch .*by hand"):
        download.download(dataset, str(tmp_path / "new"))
    assert not list((tmp_path / "new").iterdir())


def test_without_internet_it_is_one_sentence(mirror, tmp_path):
    (mirror / "mnist.npz").unlink()
    with pytest.raises(DataError, match=r"Cannot fetch .*Without internet, copy mnist.npz into .* use the sample"):
        download.download("mnist", str(tmp_path / "new"))


def test_what_keras_has_not_is_refused(tmp_path):
    with pytest.raises(DataError, match="fetches mnist, fashion_mnist, cifar10. Received --dataset=norb"):
        download.download("norb", str(tmp_path))
    with pytest.raises(DataError, match="needs a --data_dir"):
        download.download("mnist", None)
