"""Draws the pictures of the paper from a trained network and writes them to PNG, SVG or PDF files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from explorer import findings
from explorer.findings import Examined
from explorer.routing import routing_steps
from explorer.sheets import DPI, Sheet, write
from runner.evaluation import top_labels
from runner.naming import run_folder

SHOWN = 10  # examples in a row, and classes that get a picture of their own
PAIRS = 8  # pairs of digits in a row: they are larger
ROUTED = 3  # right examples whose routing is shown, besides a wrong one
COLOURS = "viridis"


def draw_all(
    examined: Examined,
    checkpoint: str,
    out: Path,
    say: Callable[[str], None] = print,
    file_format: str = "png",
    dpi: int = DPI,
) -> None:
    """Draws every picture that fits the network, and prints a line for each file and for each picture left out.

    Args:
        examined: the network and its outputs on the test split.
        checkpoint: the network's checkpoint; the curves are those of its run.
        out: the folder to write to.
        say: prints a line.
        file_format: png, svg or pdf.
        dpi: see `sheets.write`.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = run_folder(checkpoint)
    without = left_out(examined, run)
    for name, figure in _figures(examined, run, without):
        path = out / f"{name}.{file_format}"
        write(path, figure, dpi)
        say(str(path))
    for name, reason in without.items():
        say(f"No {name}.{file_format}: {reason}.")


def left_out(examined: Examined, run: Path) -> dict[str, str]:
    """The pictures that do not fit a network or its run, with the reasons."""
    model, without = examined.trained.model, {}
    if model.decoder is None:
        names = ("reconstructions", "dimensions", "multimnist")
        without |= dict.fromkeys(names, f"this {model.name} has no decoder")
    elif examined.trained.num_targets == 2:
        without["reconstructions"] = "the picture multimnist has the reconstructions of two digits"
    else:
        without["multimnist"] = "an image of this network has one label"
    if model.places() is None:
        without["routing"] = f"{model.name} does not route a grid of primary capsules"
    if not findings.errors(run) and not findings.scalars(run):
        without["curves"] = f"{run} has neither test/results.csv nor losses for TensorBoard in train/"
    return without


def _figures(examined: Examined, run: Path, without: dict[str, str]) -> Iterator[tuple[str, Figure]]:
    if "reconstructions" not in without:
        yield "reconstructions", reconstructions(examined)
    if "dimensions" not in without:
        for label in range(min(SHOWN, len(examined.trained.class_names))):
            if (index := examined.example(label)) is not None:
                yield f"dimensions-{label}", dimensions(examined, index, label)
    if "multimnist" not in without:
        yield "multimnist", multimnist(examined)
    if "routing" not in without:
        yield "routing", routing(examined)
    yield "confusion", confusion(examined)
    if "curves" not in without:
        yield "curves", curves(findings.errors(run), findings.scalars(run))


def _names(examined: Examined, labels: np.ndarray) -> str:
    """Labels [targets] as text, long names shortened."""
    names = (examined.trained.class_names[label] for label in labels)
    return ", ".join(name if len(name) <= 12 else f"{name[:11]}…" for name in names)


def _headings(examined: Examined, **lines: np.ndarray) -> list[str]:
    """Headings of columns, with a line for each name and its labels [n, targets]."""
    return [
        "\n".join(f"{name} {_names(examined, row)}" for name, row in zip(lines, rows, strict=True))
        for rows in zip(*lines.values(), strict=True)
    ]


def _network(examined: Examined) -> str:
    return f"{examined.trained.model.name}, {examined.trained.step:,} steps"


def _wrong_title(examined: Examined) -> str:
    return f"Wrong: {np.count_nonzero(~examined.right):,} of {len(examined.right):,}"


def reconstructions(examined: Examined) -> Figure:
    """Test images, right and wrong, and their reconstructions by a network with one label per image."""
    model = examined.trained.model
    sheet = Sheet(f"Reconstructions from a class capsule ({_network(examined)})", tile=84, left=130)
    for right, title in ((True, "Right"), (False, _wrong_title(examined))):
        chosen = examined.some(examined.right == right, SHOWN)
        if not chosen.size:
            sheet.add(f"{title}: none to show", {}, [])
            continue
        images, labels, predicted = examined.images(chosen), examined.labels[chosen], examined.predictions[chosen]
        drawn = findings.reconstructions(model, images, np.concatenate([predicted, labels], axis=1))
        rows = {"input": images, "reconstruction" if right else "from the prediction": drawn[:, 0]}
        if not right:
            rows["from the label"] = drawn[:, 1]
        sheet.add(title, rows, _headings(examined, label=labels, predicted=predicted))
    return sheet.figure()


def dimensions(examined: Examined, index: int, label: int) -> Figure:
    """What each dimension of a class capsule means, seen on one example (paper, figure 4)."""
    name = _names(examined, np.array([label]))
    sheet = Sheet(f"What the dimensions of capsule {name} mean\n({_network(examined)})")
    drawn = findings.dimensions(examined.trained.model, examined.images(np.array([index]))[0], label)
    rows = {f"dimension {number}": row for number, row in enumerate(drawn, start=1)}
    of = f" of labels {_names(examined, examined.labels[index])}" if examined.trained.num_targets == 2 else ""
    sheet.add(
        f"Added to each dimension (test example {index}{of})",
        rows,
        [f"{x:+.2f}" if x else "0.00" for x in findings.SWEEP],
    )
    return sheet.figure()


def multimnist(examined: Examined) -> Figure:
    """Two overlapping digits and their reconstructions in orange and blue (paper, figure 5)."""
    sheet = Sheet(
        f"Two digits, the first drawn in orange, the second in blue, over the input in grey ({_network(examined)})",
        tile=108,
        left=130,
    )

    def rows(images, **pairs):
        drawn = {
            f"from the {name}": findings.overlay(images, findings.reconstructions(examined.trained.model, images, pair))
            for name, pair in pairs.items()
        }
        return {"input": images.repeat(3, axis=-1)} | drawn

    right, wrong = (examined.some(examined.right == value, PAIRS) for value in (True, False))
    labels = examined.labels[right]
    if right.size:
        said = findings.aligned(labels, examined.predictions[right])
        pictures = rows(examined.images(right), labels=labels)
        sheet.add("Right", pictures, _headings(examined, labels=labels, predicted=said))
    if wrong.size:
        labels_of_wrong = examined.labels[wrong]
        said = findings.aligned(labels_of_wrong, examined.predictions[wrong])
        pictures = rows(examined.images(wrong), predictions=said, labels=labels_of_wrong)
        sheet.add(_wrong_title(examined), pictures, _headings(examined, labels=labels_of_wrong, predicted=said))
    if right.size:
        asked = np.stack([labels[:, 0], findings.absent(examined, right)], axis=1)
        sheet.add(
            "A digit that is absent, drawn in blue: the likeliest that is neither label nor prediction",
            rows(examined.images(right), capsules=asked),
            _headings(examined, labels=labels, drawn=asked),
        )
    return sheet.figure()


def routing(examined: Examined) -> Figure:
    """Coupling coefficients from the grid of primary capsules to each class, through the iterations."""
    trained = examined.trained
    chosen = np.concatenate([examined.some(examined.right, ROUTED), examined.some(~examined.right, 1)])
    images, maps = (
        examined.images(chosen),
        np.asarray(routing_steps(trained.model, examined.images(chosen))["coupling"]),
    )
    classes = np.sort(top_labels(examined.logits[chosen], SHOWN), axis=1)
    norm = Normalize(maps.min(), maps.max())
    sheet = Sheet(
        "Where the routing looks: coupling coefficients from the grid of primary capsules to each class\n"
        f"Mean over the capsule types, weighted by the primary capsules' length ({_network(examined)})",
        left=190,
        right=90,
    )
    size = max(1, 60 // max(maps.shape[3:]))  # pixels of a place on the grid
    for index, image, own, shown in zip(chosen, images, maps, classes, strict=True):
        coloured = matplotlib.colormaps[COLOURS](norm(own[:, shown]))[
            ..., :3
        ]  # [iterations, classes, rows, columns, 3]
        coloured = coloured.repeat(size, axis=2).repeat(size, axis=3)
        rows = {f"iteration {number}": row for number, row in enumerate(coloured, start=1)}
        title = _headings(examined, label=examined.labels[[index]], predicted=examined.predictions[[index]])[0]
        headings = [f"to {_names(examined, [label])}" for label in shown]
        sheet.add(title.replace("\n", "; "), rows, headings, beside=image)
    figure = sheet.figure()
    width, height = figure.get_size_inches()
    bar = figure.add_axes((1 - 0.7 / width, 0.3 / height, 0.12 / width, 1 - 1.3 / height))
    figure.colorbar(ScalarMappable(norm, COLOURS), cax=bar).ax.tick_params(labelsize=8)
    return figure


def confusion(examined: Examined) -> Figure:
    """How often each label is taken for each class; for two labels per image see `findings.confusion`."""
    names = [_names(examined, [label]) for label in range(len(examined.trained.class_names))]
    counts = findings.confusion(examined.labels, examined.predictions, len(names))
    side = np.clip(0.5 * len(names) + 2, 4, 12)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    shades = np.log1p(counts)  # errors are few compared with the diagonal
    axes.imshow(shades, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="prediction", ylabel="label")
    note = "\nA missed label is shared among the wrong predictions." if examined.trained.num_targets == 2 else ""
    axes.set_title(f"{_wrong_title(examined)} ({_network(examined)}){note}", fontsize=10)
    for (row, column), count in np.ndenumerate(counts) if len(names) <= 20 else ():
        colour = "white" if shades[row, column] > 0.6 * shades.max() else "black"
        if count:
            axes.text(column, row, f"{count:g}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def curves(errors: dict[str, np.ndarray], losses: dict[str, np.ndarray]) -> Figure:
    """The error of each evaluated split and the training losses, by step.

    Args:
        errors: of `findings.errors`.
        losses: of `findings.scalars`.
    """
    kinds = [(errors, "error in %", "linear"), (losses, "loss in training", "log")]
    kinds = [kind for kind in kinds if kind[0]]
    figure = Figure(figsize=(5 * len(kinds), 3.6), layout="constrained")
    for axes, (lines, title, scale) in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for name, (steps, values) in lines.items():
            if values.any():  # a network without a decoder has a reconstruction error of 0, which has no logarithm
                marker = "o" if len(steps) < 50 else None
                axes.plot(steps, values, marker=marker, markersize=3, label=name.replace("_", " "))
        axes.set(xlabel="step", title=title, yscale=scale)
        axes.grid(alpha=0.3)
        axes.legend()
        axes.set_xlim(left=0)
        if scale == "linear":
            axes.set_ylim(bottom=0)
    return figure
