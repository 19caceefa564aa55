"""CIFAR-10's binary files: pixels in their places, splits, augmentation and damaged files."""

import numpy as np
import pytest

from input_data import DataError, Options, evaluation_batches, open_split, training_batches
from input_data.images import centre, standardised


def write(folder, name, count=4, seed=0, label=None):
    random = np.random.RandomState(seed)
    records = random.randint(0, 256, (count, 3073)).astype(np.uint8)
    records[:, 0] = np.arange(count) % 10 if label is None else label
    folder.mkdir(exist_ok=True)
    records.tofile(folder / name)
    return records


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_the_test_split_is_the_standardised_centre_in_file_order(inside, tmp_path):
    records = write(tmp_path / inside, "test_batch.bin")
    (batch,) = evaluation_batches(open_split("cifar10", "test", str(tmp_path)), 10)
    images = np.stack([records[:, 1:].reshape(-1, 3, 32, 32)[:, plane] for plane in range(3)], axis=-1)
    np.testing.assert_allclose(batch["images"], standardised(centre(images, 24)))
    assert batch["labels"].tolist() == [[0], [1], [2], [3]]


def test_validation_holds_out_the_fifth_batch(tmp_path):
    for number in range(1, 6):
        write(tmp_path, f"data_batch_{number}.bin", number, seed=number)
    sizes = {name: len(open_split("cifar10", name, str(tmp_path))) for name in ("train", "valid_train", "valid_test")}
    assert sizes == {"train": 15, "valid_train": 10, "valid_test": 5}


def test_training_images_are_crops_some_of_them_flipped(tmp_path):
    for number in range(1, 6):
        records = write(tmp_path, f"data_batch_{number}.bin", 1)
    image = records[0, 1:].reshape(3, 32, 32).transpose(1, 2, 0).astype(np.float32)
    crops = {}
    for row in range(9):
        for column in range(9):
            for flip in (1, -1):
                crops[row, column, flip] = image[row : row + 24, column : column + 24][:, ::flip]
    # Contrast has its own mean in each channel, so channels are compared one by one, standardised.
    keys = list(crops)
    table = np.stack([standardised(crops[key][None, ..., :1])[0].ravel() for key in keys])
    split = open_split("cifar10", "train", str(tmp_path))
    batch = next(training_batches(split, 300, seed=0))
    actual = standardised(batch["images"][..., :1]).reshape(300, -1)
    distances = np.abs(actual[:, None, :200] - table[None, :, :200]).max(axis=2)
    assert distances.min(axis=1).max() < 1e-3
    seen = {keys[index] for index in distances.argmin(axis=1)}
    assert {row for row, _, _ in seen} == {column for _, column, _ in seen} == set(range(9))
    assert {flip for _, _, flip in seen} == {1, -1}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "test_batch.bin").write_bytes(b"x" * 5000), "3,073 bytes. Received 5,000"),
        (lambda folder: (folder / "test_batch.bin").write_bytes(b""), "Received 0 bytes"),
        (lambda folder: (folder / "test_batch.bin").write_bytes(bytes(4 * 3073 - 1)), "12,291 bytes: it is cut short"),
        (lambda folder: write(folder, "test_batch.bin", label=10), "0 to 9. Received 10 at index 0"),
        (lambda folder: (folder / "test_batch.bin").unlink(), "has no CIFAR-10. Looked for: test_batch.bin"),
    ],
)
def test_damaged_files_are_refused(damage, words, tmp_path):
    write(tmp_path, "test_batch.bin")
    damage(tmp_path)
    with pytest.raises(DataError, match=words):
        open_split("cifar10", "test", str(tmp_path))


def test_it_needs_a_folder_and_has_one_label(tmp_path):
    with pytest.raises(DataError, match="needs a --data_dir"):
        open_split("cifar10", "test", None)
    with pytest.raises(DataError, match="one label"):
        open_split("cifar10", "test", str(tmp_path), Options(num_targets=2))
