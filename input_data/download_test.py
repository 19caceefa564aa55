"""`--download`, from a mirror of made files on disk."""

import hashlib
import tarfile

import numpy as np
import pytest

from input_data import DataError, download, open_split
from input_data.cifar10.cifar10_test import write_pickles
from input_data.mnist.mnist_test import digits, write_idx


def place(folder, url):
    """The file of an address in the mirror."""
    return folder / url.rpartition("/")[2]


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
        remotes[dataset] = []
        for url, kept, sha256 in files:
            path = place(folder, url)
            total = sha256 and hashlib.sha256(path.read_bytes()).hexdigest()
            remotes[dataset].append((path.as_uri(), kept, total))
    monkeypatch.setattr(download, "REMOTES", remotes)
    return folder


@pytest.mark.parametrize(("dataset", "size"), [("mnist", 7), ("fashion_mnist", 7), ("cifar10", 6)])
def test_what_is_fetched_is_read_and_not_fetched_again(dataset, size, mirror, tmp_path, capsys):
    for _ in range(2):
        download.download(dataset, str(tmp_path / "new"))
        assert len(open_split(dataset, "test", str(tmp_path / "new"))) == size
    assert capsys.readouterr().out.count("Fetching") == len(download.REMOTES[dataset])
    assert not [path for path in (tmp_path / "new").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("other", ["mnist.npz", "MNIST's IDX files", "cut"])
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_what_is_wanted_is_fetched_beside_other_data_and_over_damaged_files(dataset, other, mirror, tmp_path):
    folder, (images, labels) = tmp_path / "d", digits(12)
    folder.mkdir()
    if other == "mnist.npz":
        np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    elif other == "MNIST's IDX files":
        for name in ("train", "test"):
            write_idx(folder, images, np.array([7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6], np.uint8), name)
    else:
        for url, kept, _ in download.REMOTES[dataset]:
            (folder / kept).parent.mkdir(exist_ok=True)
            (folder / kept).write_bytes(place(mirror, url).read_bytes()[:-30])
    there = dataset == "mnist" and "mnist" in other.lower()
    download.download(dataset, str(folder))
    opened = open_split(dataset, "test", str(folder))
    assert len(opened) == (12 if there else 7) and opened.info.name.replace("-", "_").lower() == dataset
    download.download(dataset, str(folder))


@pytest.mark.parametrize("dataset", ["fashion_mnist", "cifar10"])
def test_a_login_page_is_not_kept_and_a_good_server_helps_afterwards(dataset, mirror, tmp_path):
    url, kept, _ = download.REMOTES[dataset][-1]
    path = place(mirror, url)
    good = path.read_bytes()
    for answer, words in ((b"<html>log in</html>", "Cannot fetch"), (None, "Without internet, copy .* by hand")):
        path.unlink() if answer is None else path.write_bytes(answer)
        with pytest.raises(DataError, match=words):
            download.download(dataset, str(tmp_path / "new"))
        assert not (tmp_path / "new" / kept).exists()
    path.write_bytes(good)
    download.download(dataset, str(tmp_path / "new"))
    assert len(open_split(dataset, "test", str(tmp_path / "new"))) in (6, 7)


def test_two_downloads_at_once_do_not_meet(mirror, tmp_path, monkeypatch):
    fetch = download._fetch

    def meanwhile(*remote):
        monkeypatch.setattr(download, "_fetch", fetch)
        draft = fetch(*remote)
        download.download("cifar10", str(tmp_path / "new"))  # another process begins and ends
        return draft

    monkeypatch.setattr(download, "_fetch", meanwhile)
    download.download("cifar10", str(tmp_path / "new"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["cifar-10-batches-py"]
    assert len(open_split("cifar10", "test", str(tmp_path / "new"))) == 6


def test_what_keras_has_not_is_refused(tmp_path):
    with pytest.raises(DataError, match="fetches mnist, fashion_mnist, cifar10. Received --dataset=norb"):
        download.download("norb", str(tmp_path))
