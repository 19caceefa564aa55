"""Downloads data sets from the addresses that Keras uses, and checks what arrives."""

import hashlib
import shutil
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from input_data import DataError, open_split
from input_data.formats import idx

_STORE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_DAY = 86_400  # seconds


@dataclass(frozen=True)
class Remote:
    """A file to fetch."""

    url: str
    sha256: str | None  # None: Keras has none, and the IDX file is read instead
    kept: str = ""  # where it is kept, unless by its own name; for a `.tar.gz`, the folder that it unpacks to

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]

    def target(self, folder: Path) -> Path:
        """Its place in the user's folder."""
        return folder / (self.kept or self.name)


REMOTES = {
    "mnist": (
        Remote(f"{_STORE}mnist.npz", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1", "mnist.npz"),
    ),
    "fashion_mnist": tuple(  # in a folder as Keras has it, since MNIST's files have the same names
        Remote(f"{_STORE}{part}-{kind}-ubyte.gz", None, f"fashion-mnist/{part}-{kind}-ubyte.gz")
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ),
    "cifar10": (
        Remote(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            "cifar-10-batches-py",
        ),
    ),
}
_NAMES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}


def download(dataset: str, data_dir: str | None) -> None:
    """Downloads a data set to a folder that does not have it; the folder is created if it is missing.

    A damaged file of the same name is fetched again, and the old one is kept as NAME.damaged.

    Raises:
        DataError: Keras does not have the data set, no folder is given, there is no network, or what arrives is
            something else. No part of a file is then left in the folder.
    """
    if dataset not in REMOTES:
        raise DataError(f"--download fetches {', '.join(REMOTES)}. Received --dataset={dataset}: fetch it by hand.")
    if data_dir is None:
        raise DataError(f"--download needs a --data_dir for the files of {dataset}.")
    folder = Path(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if _is_complete(dataset, data_dir):
        return
    for old in folder.glob(".download-*"):
        if time.time() - old.stat().st_mtime > _DAY:  # left by a process that was killed
            shutil.rmtree(old, ignore_errors=True)
    for remote in REMOTES[dataset]:
        if _is_there(dataset, remote, folder):
            continue
        print(f"Fetching {remote.url}", flush=True)
        try:
            # Each process has a folder for its drafts, so that two of them do not meet.
            with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as drafts:
                draft = _fetch(remote, Path(drafts))
                if not _is_there(dataset, remote, folder):  # by another process in the meantime
                    target = remote.target(folder)
                    target.parent.mkdir(exist_ok=True)
                    if target.exists():  # damaged or incomplete
                        target.replace(target.with_name(f"{target.name}.damaged"))
                    draft.replace(target)
        except Exception as error:  # Keras raises plain exceptions
            raise DataError(
                f"Cannot fetch {remote.url} ({error}). "
                f"Without internet, copy {remote.kept or remote.name} into {folder} by hand"
                + (", or leave out --data_dir to use the sample." if dataset == "mnist" else ".")
            ) from None


def _is_complete(dataset: str, data_dir: str) -> bool:
    """Whether a folder already has a data set, in any form."""
    try:
        names = {open_split(dataset, split_name, data_dir).info.name for split_name in ("train", "test")}
    except DataError:
        return False
    return names == {_NAMES[dataset]}


def _is_there(dataset: str, remote: Remote, folder: Path) -> bool:
    """Whether a folder has a file, whole, or what the file unpacks to."""
    target = remote.target(folder)
    return _is_whole(remote, target) if target.is_file() else target.is_dir() and _is_complete(dataset, str(folder))


def _is_whole(remote: Remote, path: Path) -> bool:
    """Whether a file is the one that Keras has."""
    if remote.sha256 is not None:
        return hashlib.sha256(path.read_bytes()).hexdigest() == remote.sha256
    try:
        return idx.read(path, 3 if "images" in remote.name else 1).size > 0
    except DataError:
        return False


def _fetch(remote: Remote, drafts: Path) -> Path:
    """Downloads a file to a folder and unpacks it there; returns the path to keep."""
    from keras.utils import get_file  # only here, so that data are read without Keras

    file = Path(get_file(remote.name, remote.url, file_hash=remote.sha256, cache_dir=str(drafts), cache_subdir="."))
    if not _is_whole(remote, file):
        raise ValueError("what arrived is another file, perhaps a page on which to log in")
    if not remote.name.endswith(".tar.gz"):
        return file
    with tarfile.open(file) as archive:
        archive.extractall(drafts, filter="data")
    return drafts / remote.kept
