"""`--predict`: what it says of pictures, good and bad, what it writes, and its exit codes."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import experiment
from conftest import run_program
from explorer.predict import answers, line, locate, read
from input_data import open_split
from runner.config import NetworkFlags

CHECKPOINT = "--checkpoint=pretrained:capsnet_mnist_small"
SPLIT = open_split("mnist", "test", None)
DIGITS = SPLIT.images[:15] * np.float32(1 / 255)


@pytest.fixture
def pictures(tmp_path):
    """Five test digits, three of them in folders below; files 0.png … 4.png in the order of the test set."""
    folder = tmp_path / "pictures"
    (folder / "b" / "c").mkdir(parents=True)
    for index, place in enumerate(("0.PNG", "1.png", "b/2.png", "b/3.png", "b/c/4.png")):
        (folder / place).write_bytes(tf.io.encode_png(SPLIT.images[index]).numpy())
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


@pytest.fixture
def run(capsys):
    """A function that gives (exit code, output, errors) of the program."""
    return lambda *flags: run_program(experiment.main, capsys, (CHECKPOINT, *flags))


def test_files_folders_and_patterns_are_taken(pictures, tmp_path):
    names = ["0.PNG", "1.png", "b/2.png", "b/3.png", "b/c/4.png"]
    assert locate(str(pictures)) == [pictures / name for name in names]
    assert locate(f"{pictures}/**/*.png") == [pictures / name for name in names[1:]]
    assert locate(f"{pictures}/notes.txt") == [pictures / "notes.txt"]
    odd = tmp_path / "a[1].png"
    odd.write_bytes(b"")
    assert locate(str(odd)) == [odd]
    for nothing in (f"{tmp_path}/none", f"{pictures}/*.jpg"):
        with pytest.raises(ValueError, match="No picture was found"):
            locate(nothing)


def test_answers_are_the_networks_in_order_whatever_the_batches(network, pictures):
    (pictures / "b" / "22.png").write_bytes(b"damaged")
    expected = np.asarray(network.model(DIGITS[:5])["logits"])
    for batch_size in (2, 100):
        found = list(answers(locate(str(pictures)), network, batch_size))
        assert [path for path, logits, _ in found if logits is None] == [pictures / "b" / "22.png"]
        np.testing.assert_allclose([logits for _, logits, _ in found if logits is not None], expected, atol=1e-5)


def test_the_program_says_one_line_a_picture_and_writes_a_table_and_an_export(network, pictures, run, tmp_path):
    table = tmp_path / "new" / "table.csv"
    code, out, _ = run(f"--predict={pictures}", f"--predictions={table}", f"--export={tmp_path}/net.keras")
    assert code == 0 and f"Keras: {tmp_path}/net.keras. Largest difference" in out
    lines = [text for text in out.splitlines() if text.startswith(str(pictures))]
    logits = np.asarray(network.model(DIGITS[:5])["logits"])
    best = np.argsort(-logits, axis=1)
    for text, values, order in zip(lines, logits, best, strict=True):
        first, second = order[:2]
        assert text.endswith(f": {first} (length {values[first]:.2f}), runner-up {second} ({values[second]:.2f})")
    rows = list(csv.reader(table.open()))
    assert rows[0] == ["name", "prediction", *(f"logit {digit}" for digit in range(10))]
    assert [row[0] for row in rows[1:]] == [str(path) for path in locate(str(pictures))]
    assert [int(row[1]) for row in rows[1:]] == best[:, 0].tolist()
    np.testing.assert_allclose(np.array([row[2:] for row in rows[1:]], float), logits, atol=1e-5)
    assert [path.name for path in table.parent.iterdir()] == ["table.csv"]


def test_unreadable_pictures_are_named_and_do_not_stop_the_others(pictures, run, tmp_path):
    (pictures / "1.png").write_bytes(b"damaged")
    written = f"--predictions={tmp_path}/out.npz"
    code, out, err = run(f"--predict={pictures}", written)
    assert code == 1 and "1 of 5 pictures could not be read" in err and "Traceback" not in out + err
    assert f"\n{pictures}/1.png: not read. The file should be a readable PNG" in out
    with np.load(tmp_path / "out.npz") as saved:
        assert saved["names"].tolist() == [str(path) for path in locate(str(pictures)) if path.name != "1.png"]
        assert saved["logits"].shape == (4, 10) and saved["class_names"].tolist() == list("0123456789")
        assert saved["predictions"].tolist() == saved["logits"].argmax(axis=1)[:, None].tolist()
    (tmp_path / "out.npz").unlink()
    code, _, err = run(f"--predict={pictures}/1.png", written)
    assert code == 1 and "1 of 1 pictures could not be read" in err and not (tmp_path / "out.npz").exists()


def test_predictions_of_another_ending_are_refused_before_any_work(pictures, run):
    code, _, err = run(f"--predict={pictures}", "--predictions=out.txt")
    assert code == 2 and "out.txt" in err and "ends in .npz or .csv" in err


def test_two_digit_networks_name_two_classes(network):
    logits = np.array([0.1, 0.2, 0.9, 0.3, 0.8, 0, 0, 0, 0, 0], np.float32)
    pairs = replace(network, config=network.config.with_flags(NetworkFlags(num_targets=2)))
    text = line(Path("x.png"), logits, ["resized 72x72 to 36x36"], pairs)
    assert text == "x.png: 2 (length 0.90) and 4 (0.80), runner-up 3 (0.30)  [resized 72x72 to 36x36]"


def scan(digit, seed):
    """A JPEG of a digit, ten times enlarged, in blue ink on a grainy, unevenly lit sheet."""
    large = np.clip(tf.image.resize(digit, (280, 280), "bicubic").numpy(), 0, 255)
    page = np.zeros((520, 410, 1), np.float32)
    page[150:430, 60:340] = large
    sheet = 235 - page * np.array([0.85, 0.8, 0.5], np.float32) + np.linspace(-12, 12, 410)[None, :, None]
    grain = np.random.RandomState(seed).normal(0, 4, sheet.shape)
    return tf.io.encode_jpeg(np.clip(sheet + grain, 0, 255).astype(np.uint8), quality=70).numpy()


def test_scans_of_test_digits_are_recognised_as_the_digits_are(network, tmp_path):
    prepared = []
    for seed in range(15):
        (tmp_path / "digit.jpg").write_bytes(scan(SPLIT.images[seed], seed))
        image, notes = read(tmp_path / "digit.jpg", network)
        prepared.append(image)
    assert notes == ["colour to grey", "inverted: dark on light", "cut from 520x410 to its ink and centred"]
    plain, scanned = (np.argmax(network.model(each)["logits"], axis=1) for each in (DIGITS, np.stack(prepared)))
    assert (plain == SPLIT.labels[:15]).sum() >= 14 and (scanned == plain).sum() >= 14
