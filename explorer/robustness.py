"""Measures accuracy under rotation, shift, scale, shear and noise of the test images (paper, section 5.2)."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from explorer.compare import network_names
from explorer.sheets import strip, write
from input_data import Split, evaluation_batches
from input_data.formats.files import atomic_write
from input_data.progress import Progress
from runner.evaluation import hits, top_labels
from runner.loader import Trained

BATCH = 100


def moved(images: np.ndarray, matrix: np.ndarray, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Transforms images about their centre by an affine map, with bilinear interpolation.

    What moves in from outside is filled with the median of the image's border. With black, a report on light pictures
    would measure the effect of black frames.

    Args:
        images: float32 [n, rows, columns, depth].
        matrix: [2, 2] over (down, right), which maps a point relative to the centre to its new position.
        shift: pixels (down, right) added to the new position.
    """
    inverse = np.eye(4)
    inverse[1:3, 1:3] = np.linalg.inv(matrix)  # SciPy asks where a point comes from
    centre = (np.array(images.shape) - 1) / 2
    offset = centre - inverse @ (centre + [0, *shift, 0])
    fill = _border_colour(images)
    return ndimage.affine_transform(images - fill, inverse, offset, order=1, mode="grid-constant") + fill


def _border_colour(images: np.ndarray) -> np.ndarray:
    """Returns the median of each image's outermost pixels in each channel, float32 [n, 1, 1, depth]."""
    sides = (images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1])  # each [n, pixels, depth]
    return np.median(np.concatenate(sides, axis=1), axis=1)[:, None, None, :].astype(np.float32)


def rotated(images: np.ndarray, degrees: float) -> np.ndarray:
    """The images turned counter-clockwise."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return moved(images, np.array([[cos, -sin], [sin, cos]]))


def shifted(images: np.ndarray, pixels: float) -> np.ndarray:
    """The images moved to the right, or to the left if `pixels` is negative."""
    return moved(images, np.eye(2), (0, pixels))


def scaled(images: np.ndarray, factor: float) -> np.ndarray:
    """The images enlarged or reduced by `factor`."""
    return moved(images, np.eye(2) * factor)


def sheared(images: np.ndarray, slope: float) -> np.ndarray:
    """The images slanted to the right above the centre and to the left below it, by `slope` pixels per row."""
    return moved(images, np.array([[1, 0], [-slope, 1]]))


def noisy(images: np.ndarray, deviation: float) -> np.ndarray:
    """The images with Gaussian noise of a fixed seed, clipped to their range of values."""
    noise = np.random.default_rng(2017).standard_normal(images.shape, np.float32)
    return np.clip(images + np.float32(deviation) * noise, images.min(), images.max())


# The changes by name: the function, the unit of its amount, and the amounts.
CHANGES: dict[str, tuple[Callable, str, tuple[float, ...]]] = {
    "rotation": (rotated, "degrees", (-45, -30, -15, 0, 15, 30, 45)),
    "shift": (shifted, "pixels", (-6, -4, -2, 0, 2, 4, 6)),
    "scale": (scaled, "factor", (0.6, 0.8, 1, 1.2, 1.4)),
    "shear": (sheared, "slope", (-0.4, -0.2, 0, 0.2, 0.4)),
    "noise": (noisy, "deviation", (0, 0.1, 0.2, 0.3, 0.4)),
}


@dataclass(frozen=True)
class Row:
    """Numbers of right answers under one change, one in `correct` for each network."""

    change: str
    amount: float
    size: int
    correct: tuple[int, ...]


def measure(networks: list[Trained], split: Split, size: int) -> list[Row]:
    """Counts the right answers of networks on the same changed test images.

    Args:
        networks: networks for the same images and classes.
        split: test images.
        size: number of images to use, from the first.

    Returns:
        A row for each change and amount in `CHANGES`. An image is right when all its labels are predicted.
    """
    size = min(size, len(split))
    batch = next(evaluation_batches(split, size, size))
    settings = [(name, change, amount) for name, (change, _, amounts) in CHANGES.items() for amount in amounts]
    rows = []
    with Progress(len(settings), "change", size * len(networks)) as progress:
        for done, (name, change, amount) in enumerate(settings, start=1):
            images = change(batch["images"], amount)
            rows.append(Row(name, amount, size, tuple(_correct(each, images, batch["labels"]) for each in networks)))
            progress.update(done, f"{name} {amount:g}")
    return rows


def _correct(trained: Trained, images: np.ndarray, labels: np.ndarray) -> int:
    starts = range(0, len(images), BATCH)
    logits = [trained.model.predict_on_batch(images[start : start + BATCH])["logits"] for start in starts]
    return int(hits(labels, top_labels(np.concatenate(logits), labels.shape[1])).all(axis=1).sum())


def table(rows: list[Row], names: list[str]) -> str:
    """The accuracies in % as text, with a line for each change and amount."""
    wide = [max(len(name), 8) for name in names]
    heads = "  ".join(name.rjust(width) for name, width in zip(names, wide, strict=True))
    lines = [f"{'accuracy in %':<24}{heads}"]
    for row in rows:
        cells = (f"{100 * count / row.size:.2f}".rjust(width) for count, width in zip(row.correct, wide, strict=True))
        lines.append(f"{row.change:<9}{row.amount:>5g} {CHANGES[row.change][1]:<9}" + "  ".join(cells))
    return "\n".join(lines)


def write_csv(path: Path, rows: list[Row], names: list[str]) -> None:
    """Writes a file with a line for each network, change and amount, completely or not at all."""
    with atomic_write(path) as (draft,), draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("network", "change", "amount", "unit", "size", "correct", "percent"))
        for index, name in enumerate(names):
            for row in rows:
                percent = f"{100 * row.correct[index] / row.size:.6g}"
                unit = CHANGES[row.change][1]
                writer.writerow((name, row.change, row.amount, unit, row.size, row.correct[index], percent))


def plot(rows: list[Row], names: list[str], image: np.ndarray) -> Figure:
    """Plots the accuracy by the amount of each change, above images that show the change.

    Args:
        rows: the result of `measure`.
        names: the names of the networks.
        image: a test image [rows, columns, depth].
    """
    figure = Figure(figsize=(15, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, len(CHANGES), height_ratios=(4, 1))
    for axes, below, (change, (function, unit, amounts)) in zip(upper, lower, CHANGES.items(), strict=True):
        own = [row for row in rows if row.change == change]
        for index, name in enumerate(names):
            axes.plot(amounts, [100 * row.correct[index] / row.size for row in own], "o-", markersize=4, label=name)
        axes.set(title=change, xlabel=unit, xticks=amounts, ylim=(0, 102))
        axes.grid(alpha=0.3)
        strip(below, {"": np.concatenate([function(image[None], x) for x in amounts])}, [""] * len(amounts))
        below.set_aspect("equal")
    upper[0].set_ylabel(f"accuracy in % of {rows[0].size:,} test images")
    figure.legend(*upper[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(names))
    return figure


def report(networks: list[Trained], split: Split, size: int, out: Path, say: Callable[[str], None] = print) -> None:
    """Measures networks, prints the table and writes `robustness.csv` and `robustness.png` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    names = network_names(networks)
    rows = measure(networks, split, size)
    say(table(rows, names))
    write_csv(out / "robustness.csv", rows, names)
    image = next(evaluation_batches(split, 1, 1))["images"][0]
    write(out / "robustness.png", plot(rows, names, image))
    for name in ("robustness.csv", "robustness.png"):
        say(str(out / name))
