"""Damaged files of every format, drawn from a seed: each is read or refused by a DataError, within little memory."""

import tracemalloc

import numpy as np
import pytest
from scipy.io import savemat

from input_data import DataError, open_split
from input_data.cifar10 import cifar10_test, sources_test
from input_data.formats import idx, matlab, matlab_test, tfds_test
from input_data.mnist import mnist_test
from input_data.mnist import sources_test as mnist_sources_test
from input_data.norb import norb_test

COUNT = 40  # of each format


def records(folder):
    mnist_test.write_records(folder / "test_0shifted_mnist.tfrecords", *mnist_test.digits(4))


def plain_idx(folder):
    mnist_test.write_idx(folder, *mnist_test.digits(4), split_name="test", packed=False)


def packed_idx(folder):
    mnist_test.write_idx(folder, *mnist_test.digits(4), split_name="test")


def emnist(folder):
    mnist_sources_test.write_emnist(folder, "letters", mnist_sources_test.LABELS + 1)


def compressed_mat(folder):
    images = np.random.RandomState(0).randint(0, 256, (32, 32, 3, 4)).astype(np.uint8)
    savemat(folder / "test_32x32.mat", {"X": images, "y": np.ones((4, 1))}, do_compression=True)


FILES = {
    "records": ("mnist", records),
    "IDX": ("mnist", plain_idx),
    "IDX, gzipped": ("mnist", packed_idx),
    "EMNIST": ("mnist", emnist),
    "npz": ("mnist", lambda folder: mnist_sources_test.write_keras(folder / "mnist.npz")),
    "QMNIST": ("mnist", lambda folder: mnist_sources_test.write_qmnist(folder / "q")),
    "table": ("mnist", lambda folder: mnist_sources_test.write_csv(folder / "csv", "mnist", True)),
    "tfds": ("mnist", lambda folder: tfds_test.write(folder, "mnist", "test", (28, 28, 1), [1, 2])),
    "CIFAR-10, binary": ("cifar10", lambda folder: cifar10_test.write(folder, "test_batch.bin")),
    "CIFAR-10, pickled": ("cifar10", sources_test.write_pickles),
    "SVHN": ("svhn", lambda folder: matlab_test.write_svhn(folder / "test_32x32.mat")),
    "SVHN, compressed": ("svhn", compressed_mat),
    "affNIST": ("affnist", lambda folder: matlab_test.write_affnist_zeros(folder / "test.mat")),
    "smallNORB": ("norb", lambda folder: norb_test.write(folder / "testduo.tfrecords", instances=(4,))),
}


def damaged(content, random):
    """Some bytes changed, a length among them, or the file cut or lengthened."""
    content = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place = random.randint(min(len(content), 400) if random.randint(2) else len(content))
        kind = random.randint(4)
        if kind == 0:
            content[place] ^= 1 << random.randint(8)
        elif kind == 1:
            content[place : place + 4] = random.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"])
        elif kind == 2:
            del content[place:]
        else:
            content += random.bytes(random.randint(1, 50))
        if not content:
            break
    return bytes(content)


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_read_or_refused(kind, tmp_path):
    dataset, write = FILES[kind]
    write(tmp_path)
    folder = next(path for path in (tmp_path / "q", tmp_path / "csv", tmp_path) if path.is_dir())
    random, refused = np.random.RandomState(len(kind)), 0
    files = sorted(path for path in folder.iterdir() if path.is_file())
    tracemalloc.start()
    for _ in range(COUNT):
        path = files[random.randint(len(files))]
        plain = path.read_bytes()
        path.write_bytes(damaged(plain, random))
        try:
            split = open_split(dataset, "test", str(folder))
            split.batch(np.arange(len(split)), np.zeros((len(split), split.noise)))
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
        path.write_bytes(plain)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
    assert refused > COUNT / 10
    open_split(dataset, "test", str(folder))


def element(kind, data):
    return np.array([kind, len(data)], "<u4").tobytes() + data + bytes(-len(data) % 8)


def matrix(mat_class, shape, *more):
    flags = element(6, np.array([mat_class, 0], "<u4").tobytes())
    sizes = element(5, np.array(shape, "<i4").tobytes())
    return element(14, flags + sizes + element(1, b"X") + b"".join(more))


HEAD = b"MATLAB 5.0".ljust(124) + np.array([0x0100], "<u2").tobytes() + b"IM"


@pytest.mark.parametrize(
    "content",
    [
        matrix(9, (2**31 - 1, 2**31 - 1), element(2, bytes(8))),  # claims more than there is
        matrix(1, (2**31 - 1, 1)),  # as many cells
        np.array([14, 2**32 - 1], "<u4").tobytes(),
        matrix(9, (-4, 2), element(2, bytes(8))),
        matrix(2, (1, 1), element(5, np.array([-3], "<i4").tobytes()), element(1, b"abc")),
        matrix(2, (1, 1), element(5, np.array([1], "<i4").tobytes()), element(1, b"a" * 10**6)),
    ],
)
def test_matlab_files_that_claim_what_is_not_there_are_refused(content, tmp_path):
    (tmp_path / "test_32x32.mat").write_bytes(HEAD + content)
    with pytest.raises(DataError, match="is not a MATLAB v5 file or is damaged|lacks the variable X"):
        open_split("svhn", "test", str(tmp_path))


def test_matlab_cells_within_cells_are_passed_over(tmp_path):
    nested = matrix(9, (1, 1), element(2, b"\1"))
    for _ in range(5000):
        nested = matrix(1, (1, 1), nested)
    (tmp_path / "a.mat").write_bytes(HEAD + nested + matrix(9, (1, 3), element(2, b"\1\2\3")))
    assert matlab.load(tmp_path / "a.mat", ("X",))["X"].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_matlab_files_of_either_byte_order_and_narrow_storage_are_read(order, tmp_path):
    """MATLAB stores doubles in the narrowest type that holds them."""

    def tagged(kind, values, dtype):
        data = np.array(values, order + dtype).tobytes()
        return np.array([kind, len(data)], order + "u4").tobytes() + data + bytes(-len(data) % 8)

    body = (
        tagged(6, [6, 0], "u4")
        + tagged(5, [2, 2], "i4")
        + tagged(1, list(b"X"), "i1")
        + tagged(4, [1, 2, 3, 500], "u2")
    )
    head = HEAD[:124] + (HEAD[124:] if order == "<" else b"\1\0MI")
    (tmp_path / "a.mat").write_bytes(head + np.array([14, len(body)], order + "u4").tobytes() + body)
    value = matlab.load(tmp_path / "a.mat", ("X",))["X"]
    assert value.dtype == np.float64 and value.tolist() == [[1, 3], [2, 500]]


def test_matlab_bombs_are_stopped_at_the_limit(tmp_path, monkeypatch):
    savemat(tmp_path / "a.mat", {"X": np.zeros((4096, 8192), np.uint8)}, do_compression=True)
    monkeypatch.setenv("INPUT_DATA_LIMIT_GIB", "0.01")
    with pytest.raises(DataError, match="more than the limit of 0.01 GiB"):
        matlab.load(tmp_path / "a.mat", ("X",))


def test_npz_bombs_are_refused_by_what_they_claim(tmp_path, monkeypatch):
    images = np.zeros((2000, 100, 100), np.uint8)
    np.savez_compressed(tmp_path / "mnist.npz", x_train=images, y_train=[0], x_test=images, y_test=[0])
    monkeypatch.setenv("INPUT_DATA_LIMIT_GIB", "0.01")
    with pytest.raises(DataError, match="the array x_test takes 0.0 GiB, more than the limit of 0.01 GiB"):
        open_split("mnist", "test", str(tmp_path))


def test_a_table_of_idx_files_that_disagree_is_named(tmp_path):
    packed_idx(tmp_path)
    idx.write(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="has 4 images, but .* has 3 labels"):
        open_split("mnist", "test", str(tmp_path))
