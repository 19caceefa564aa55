"""Fetches MNIST where there is internet, checked by its checksums."""

import gzip
import hashlib
import urllib.error
import urllib.request
from pathlib import Path

from input_data.dataset import DataError
from input_data.formats.files import atomic_write

_HOST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_MD5 = {  # of the unpacked files
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def download(data_dir: str | None, host: str = _HOST) -> None:
    """Fetches those of MNIST's four files that a folder lacks.

    Args:
        data_dir: the folder, made where it is missing.
        host: address that the files' names are put behind.

    Raises:
        DataError: no folder named, no network, or content with another checksum; the folder then has no part of it.
    """
    if data_dir is None:
        raise DataError("--download needs a --data_dir to put MNIST into.")
    folder = Path(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name, md5 in _MD5.items():
        target = folder / f"{name}.gz"
        if target.exists() or (folder / name).exists():
            continue
        print(f"Fetching {host}{target.name}", flush=True)
        try:
            with urllib.request.urlopen(host + target.name, timeout=30) as response:
                content = response.read()
            actual = hashlib.md5(gzip.decompress(content), usedforsecurity=False).hexdigest()
        except (urllib.error.URLError, OSError, EOFError) as error:
            raise DataError(
                f"Cannot fetch {host}{target.name} ({error}). Without internet, copy MNIST's four IDX files into "
                f"{folder} by hand, or leave out --data_dir to use the embedded sample."
            ) from None
        if actual != md5:
            raise DataError(f"{host}{target.name} has the checksum {actual}, expected {md5}: it was not kept.")
        with atomic_write(target) as (draft,):
            draft.write_bytes(content)
