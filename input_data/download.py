"""Downloads data sets from the addresses that Keras uses, and checks them by Keras' checksums."""

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from input_data import DataError, open_split

_STORE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


@dataclass(frozen=True)
class Remote:
    """A file to fetch.

    Attributes:
        url: its address.
        sha256: its checksum; None: Keras has none, and the sizes and sums in the file are checked when it is read.
        folder: the folder that a `.tar.gz` unpacks to; None: the file is kept as it is.
    """

    url: str
    sha256: str | None
    folder: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


REMOTES = {
    "mnist": (Remote(f"{_STORE}mnist.npz", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"),),
    "fashion_mnist": tuple(
        Remote(f"{_STORE}{part}-{kind}-ubyte.gz", None)
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


def download(dataset: str, data_dir: str | None) -> None:
    """Downloads a data set to a folder that does not have it.

    Args:
        dataset: a name in `REMOTES`.
        data_dir: the folder, which is created if it is missing.

    Raises:
        DataError: Keras does not have the data set, no folder is given, there is no network, or a checksum is wrong.
            No part of a file is then left in the folder.
    """
    if dataset not in REMOTES:
        raise DataError(f"--download fetches {', '.join(REMOTES)}. Received --dataset={dataset}: fetch it by hand.")
    if data_dir is None:
        raise DataError(f"--download needs a --data_dir for the files of {dataset}.")
    folder = Path(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if _is_complete(dataset, data_dir):
        return
    for remote in REMOTES[dataset]:
        target = folder / (remote.folder or remote.name)
        if target.exists() or target.with_suffix("").is_file():
            continue
        print(f"Fetching {remote.url}", flush=True)
        drafts = folder / f".download-{dataset}"
        shutil.rmtree(drafts, ignore_errors=True)  # left by a process that was killed
        try:
            _fetch(remote, drafts).replace(target)
        except Exception as error:  # Keras raises plain exceptions
            raise DataError(
                f"Cannot fetch {remote.url} ({error}). Without internet, copy {remote.folder or remote.name} into "
                f"{folder} by hand" + (", or leave out --data_dir to use the sample." if dataset == "mnist" else ".")
            ) from None
        finally:
            shutil.rmtree(drafts, ignore_errors=True)


def _is_complete(dataset: str, data_dir: str) -> bool:
    """Whether a folder already has a data set, in any form."""
    try:
        for split_name in ("train", "test"):
            open_split(dataset, split_name, data_dir)
    except DataError:
        return False
    return True


def _fetch(remote: Remote, drafts: Path) -> Path:
    """Downloads a file to a folder and unpacks it there; returns the path to keep."""
    from keras.utils import get_file  # only here, so that data are read without Keras

    file = Path(get_file(remote.name, remote.url, file_hash=remote.sha256, cache_dir=str(drafts), cache_subdir="."))
    if remote.folder is None:
        return file
    with tarfile.open(file) as archive:
        archive.extractall(drafts, filter="data")
    return drafts / remote.folder
