"""Downloads data sets from the addresses that Keras uses, and checks what arrives."""

import tarfile
import tempfile
from pathlib import Path

from input_data import DataError, open_split
from input_data.formats import idx

_STORE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_DIGITS = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"  # SHA-256, as Keras has them
_CIFAR = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


# Of each data set, the address of a file, where it is kept in the user's folder (a `.tar.gz` unpacks to it), and its
# SHA-256 (None: Keras has none, and the IDX file is read instead).
REMOTES: dict[str, list[tuple[str, str, str | None]]] = {
    "mnist": [(f"{_STORE}mnist.npz", "mnist.npz", _DIGITS)],
    "fashion_mnist": [  # in a folder as Keras has it, since MNIST's files have the same names
        (f"{_STORE}{part}-ubyte.gz", f"fashion-mnist/{part}-ubyte.gz", None)
        for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    ],
    "cifar10": [("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", "cifar-10-batches-py", _CIFAR)],
}


def download(dataset: str, data_dir: str | None) -> None:
    """Downloads a data set to a folder that does not have it; the folder is created if it is missing.

    A file of the same name, which is damaged or of another data set, is kept as NAME.old. If there is no network, or
    something else arrives, that is a DataError, and no part of a file is left in the folder.
    """
    if dataset not in REMOTES:
        raise DataError(f"--download fetches {', '.join(REMOTES)}. Received --dataset={dataset}: fetch it by hand.")
    if data_dir is None:
        raise DataError(f"--download needs a --data_dir for the files of {dataset}.")
    folder = Path(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for url, kept, sha256 in REMOTES[dataset]:
        if _is_there(dataset, folder):
            return
        print(f"Fetching {url}", flush=True)
        try:
            # Each process has a folder for its drafts, so that two of them do not meet.
            with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as drafts:
                draft, target = _fetch(url, Path(kept).name, sha256, Path(drafts)), folder / kept
                if _is_there(dataset, folder):  # by another process in the meantime
                    return
                target.parent.mkdir(exist_ok=True)
                if target.exists():
                    target.replace(target.with_name(f"{target.name}.old"))
                draft.replace(target)
        except Exception as error:  # Keras raises plain exceptions
            advice = ", or leave out --data_dir to use the sample" if dataset == "mnist" else ""
            by_hand = f"Without internet, copy {kept} into {folder} by hand{advice}."
            raise DataError(f"Cannot fetch {url} ({error}). {by_hand}") from None


def _is_there(dataset: str, folder: Path) -> bool:
    """Whether a folder has the data set, whole and in any form."""
    try:
        names = {open_split(dataset, split_name, str(folder)).info.name for split_name in ("train", "test")}
    except DataError:
        return False
    return {name.replace("-", "").lower() for name in names} == {dataset.replace("_", "")}


def _fetch(url: str, kept: str, sha256: str | None, drafts: Path) -> Path:
    """Downloads a file to a folder and unpacks it there; returns the path to keep."""
    from keras.utils import get_file  # only here, so that data are read without Keras

    name = url.rpartition("/")[2]
    file = Path(get_file(name, url, file_hash=sha256, cache_dir=str(drafts), cache_subdir="."))
    if sha256 is None:
        idx.read(file, 3 if "images" in name else 1)  # it may be a page on which to log in
    if name.endswith(".tar.gz"):
        with tarfile.open(file) as archive:
            archive.extractall(drafts, filter="data")
    return drafts / kept
