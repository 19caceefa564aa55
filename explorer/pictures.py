"""Draws the pictures of the paper from a trained network and writes them to PNG, SVG or PDF files.

The title of each picture says what was found, computed from the network's outputs.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

from explorer import findings
from explorer.findings import Examined
from explorer.sheets import DPI, Block, fitted, sheet, write
from input_data.progress import say
from runner.evaluation import hits, top_labels
from runner.summaries import visible

SHOWN = 10  # examples in a row, and classes that get a picture of their own
PAIRS = 8  # pairs of digits in a row: they are larger
ROUTED = 3  # right examples whose routing is shown, besides a wrong one
COMPARED = 500  # right and wrong answers whose reconstructions are compared
DIVERGING = LinearSegmentedColormap.from_list("page", ["#2f7dff", "#222222", "#ff8800"])  # the page's colours


def draw_all(examined: Examined, out: Path, file_format: str = "png", dpi: int = DPI) -> None:
    """Draws every picture that fits the network, and prints a line for each file and for each picture left out.

    For `file_format` and `dpi` see `sheets.write`.
    """
    out.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"text.parse_math": False}):  # a name of a class may have dollar signs
        for name, draw in planned(examined).items():
            path = out / f"{name}.{file_format}"
            if isinstance(draw, str):
                say(f"No {path.name}: {draw}.")
            else:
                write(path, draw(), dpi)
                say(str(path))


def planned(examined: Examined) -> dict[str, Callable[[], Figure] | str]:
    """For each picture of a network, what draws it, or the reason why it is left out."""
    model = examined.trained.model
    without = f"this {model.name} has no decoder" if model.decoder is None else ""
    unrouted = "" if model.places() else f"{model.name} does not route a grid of primary capsules"
    plan: dict[str, Callable[[], Figure] | str] = {
        "reconstructions": without or partial(reconstructions, examined),
        "routing": unrouted or partial(routing, examined),
        "confusion": partial(confusion, examined),
    }
    if without:
        return plan | {"dimensions": without}
    labels = range(min(SHOWN, len(examined.trained.config.class_names)))
    examples = {label: index for label in labels if (index := examined.example(label)) is not None}
    return plan | {f"dimensions-{k}": partial(dimensions, examined, index, k) for k, index in examples.items()}


def _names(examined: Examined, labels: np.ndarray) -> str:
    """Labels [targets] as text, long names shortened."""
    names = (examined.trained.config.class_names[label] for label in labels)
    return ", ".join(name if len(name) <= 12 else f"{name[:11]}…" for name in names)


def _headings(examined: Examined, **lines: np.ndarray) -> list[str]:
    """Headings of columns, with a line for each name and its labels [n, targets]."""
    return [
        "\n".join(f"{name} {_names(examined, row)}" for name, row in zip(lines, rows, strict=True))
        for rows in zip(*lines.values(), strict=True)
    ]


def _network(examined: Examined) -> str:
    return f"{examined.trained.model.name}, {examined.trained.step:,} steps"


def _wrong(examined: Examined) -> str:
    return f"{np.count_nonzero(~examined.right):,} of {len(examined.right):,} are wrong ({_network(examined)})"


def reconstructions(examined: Examined) -> Figure:
    """Test images, right and wrong, and what is drawn from their capsules: two digits in orange and blue (figure 5)."""
    pairs, blocks, errors = examined.trained.config.num_targets == 2, [], []
    columns = PAIRS if pairs else SHOWN

    def add(title: str, chosen: np.ndarray, drawings: dict[str, np.ndarray], **named: np.ndarray) -> None:
        images = examined.images(chosen)
        rows = {"input": images.repeat(3, axis=-1) if pairs else images}
        rows |= {name: findings.overlay(images, each) if pairs else each[:, 0] for name, each in drawings.items()}
        blocks.append(Block(title, rows, _headings(examined, label=examined.labels[chosen], **named)))

    def drawn(chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return findings.reconstructions(examined.trained.model, examined.images(chosen), labels)

    predicted = findings.aligned(examined.labels, examined.predictions)
    for right, title in ((True, "Right"), (False, "Wrong")):
        compared, shown = (examined.some(examined.right == right, count) for count in (COMPARED, columns))
        if not shown.size:
            blocks.append(Block(f"{title}: none to show", {}, []))
            continue
        whole = np.minimum(drawn(compared, predicted[compared]).sum(axis=1), 1)  # digits add up, see `multimnist.py`
        errors.append(np.square(whole - examined.images(compared)).mean())
        drawings = {"drawn as predicted": drawn(shown, predicted[shown])}
        if not right:
            drawings["drawn as labelled"] = drawn(shown, examined.labels[shown])
        add(title, shown, drawings, predicted=predicted[shown])
    if pairs and (shown := examined.some(examined.right, PAIRS)).size:
        absent = top_labels(examined.logits[shown], 3)[:, 2]  # both others are predicted and right
        asked = np.stack([examined.labels[shown, 0], absent], axis=1)
        title = "A digit that is absent, drawn in blue: the likeliest that is neither label nor prediction"
        add(title, shown, {"drawn": drawn(shown, asked)}, drawn=asked)
    title = _wrong(examined)
    if len(errors) == 2:
        times = errors[1] / errors[0]
        title = f"A wrong answer is drawn {times:.1f} times as far from its image as a right one\n{title}"
    return sheet(title, blocks, tile=1.08 if pairs else 0.84)


def dimensions(examined: Examined, index: int, label: int) -> Figure:
    """What each dimension of a class capsule means, seen on one example (paper, figure 4); the strongest come first."""
    drawn = findings.dimensions(examined.trained.model, examined.images(np.array([index]))[0], label)
    effects = np.abs(drawn[:, -1] - drawn[:, 0]).mean(axis=(1, 2, 3))
    order = np.argsort(-effects, kind="stable")
    title = f"Dimension {order[0] + 1} changes the drawing of {_names(examined, [label])} most"
    if len(order) > 1 and effects[order[-1]] > 0:
        title += f", {effects[order[0]] / effects[order[-1]]:.1f} times as much as dimension {order[-1] + 1}"
    of = f" of labels {_names(examined, examined.labels[index])}" if examined.trained.config.num_targets == 2 else ""
    headings = [f"{x:+.2f}" if x else "0.00" for x in findings.SWEEP]
    rows = {f"dimension {number + 1}": drawn[number] for number in order}
    block = Block(f"Added to each dimension, test example {index}{of} ({_network(examined)})", rows, headings)
    return sheet(title, [block])


def routing(examined: Examined) -> Figure:
    """Coupling coefficients from the grid of primary capsules to each class, over the image, through the iterations."""
    model, places = examined.trained.model, examined.trained.model.places()
    chosen = np.concatenate([examined.some(examined.right, ROUTED), examined.some(~examined.right, 1)])
    images = examined.images(chosen)
    maps = np.asarray(findings.coupling_maps(model, images))  # [n, iterations, classes, rows, columns]
    equal = float(maps[:, 0].mean())
    note = f"Coupling coefficients over the image: orange is more than an equal share of {equal:.3f}, blue is less"
    blocks = [Block(note, {}, [])]
    for index, image, own in zip(chosen, images, maps, strict=True):
        shown = np.sort(top_labels(examined.logits[[index]], SHOWN)[0])
        norm = colours_of(own[-1, examined.predictions[index]], equal)
        drawn = [over(image, step[shown], places, norm) for step in own]
        rows = {f"iteration {number}": each for number, each in enumerate(drawn, start=1)}
        said = _headings(examined, label=examined.labels[[index]], predicted=examined.predictions[[index]])[0]
        headings = [f"to {_names(examined, [label])}" for label in shown]
        blocks.append(Block(said.replace("\n", ", "), rows, headings, ScalarMappable(norm, DIVERGING)))
    other = findings.without_routing(examined)
    changed = ~hits(examined.predictions, other).all(axis=1)
    right, before = examined.right, hits(examined.labels, other).all(axis=1)
    title = f"Routing changes {changed.sum():,} answers of {len(right):,}: {(right & ~before).sum():,} become right"
    title += f" and {(before & ~right).sum():,} wrong ({_network(examined)})"
    return sheet(title, blocks, tile=0.72)


def colours_of(shares: np.ndarray, equal: float) -> TwoSlopeNorm:
    """The scale of the colours of shares, with `equal` in its middle."""
    reach = max(float(np.quantile(np.abs(shares - equal), 0.95)), 1e-3)
    return TwoSlopeNorm(equal, equal - min(reach, equal), equal + reach)  # no share is below 0


def over(image: np.ndarray, maps: np.ndarray, places: dict, norm: TwoSlopeNorm) -> np.ndarray:
    """Draws a square for each position of the grid of primary capsules over the dimmed image, as the page does.

    Args:
        image: [rows, columns, depth].
        maps: shares [n, grid rows, grid columns].
        places: where the grid lies, see `Classifier.places`.
        norm: the scale of the colours; the middle has none.

    Returns:
        [n, 3·rows, 3·columns, 3] in [0, 1].
    """
    dimmed = 0.55 * visible(image[None])[0].repeat(3, axis=0).repeat(3, axis=1) * np.ones(3)
    shares = np.pad(np.clip(2 * np.asarray(norm(maps)) - 1, -1, 1), ((0, 0), (1, 1), (1, 1)))  # 0 beyond the grid
    pixels = [(np.arange(3 * side) + 0.5) / 3 - 0.5 for side in image.shape[:2]]
    rows, columns = (
        np.clip(np.floor((each - places["first"]) / places["step"] + 1.5), 0, size + 1).astype(int)
        for each, size in zip(pixels, maps.shape[1:], strict=True)
    )
    shares = shares[:, rows][:, :, columns]  # [n, 3·rows, 3·columns]
    colour = np.where(shares[..., None] > 0, DIVERGING(1.0)[:3], DIVERGING(0.0)[:3])
    cover = 0.95 * np.abs(shares)[..., None]
    return (1 - cover) * dimmed + cover * colour


def confusion(examined: Examined) -> Figure:
    """How often each label is taken for each class; for two labels per image see `findings.confusion`."""
    names = [_names(examined, [label]) for label in range(len(examined.trained.config.class_names))]
    counts = findings.confusion(examined.labels, examined.predictions, len(names))
    wrong = counts * (1 - np.eye(len(names)))
    label, said = np.unravel_index(wrong.argmax(), wrong.shape)
    title = _wrong(examined)
    if wrong.any():
        title = f"{names[label]} is taken for {names[said]} most often, {wrong.max():.4g} times\n{title}"
    if examined.trained.config.num_targets == 2:
        title += "\nA missed label is shared among the wrong predictions."
    side = np.clip(0.5 * len(names) + 2, 4.5, 12)
    figure = Figure(figsize=(side, side + 0.4), layout="constrained")
    axes = figure.add_subplot()
    shades = np.log1p(counts)  # errors are few compared with the diagonal
    axes.imshow(shades, cmap="Blues", vmin=0)
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="prediction", ylabel="label")
    figure.suptitle(fitted(title, side - 0.4, 10), fontsize=10, weight="bold")
    for (row, column), count in np.ndenumerate(counts) if len(names) <= 20 else ():
        colour = "white" if shades[row, column] > 0.6 * shades.max() else "black"
        if count:
            axes.text(column, row, f"{count:.4g}", ha="center", va="center", color=colour, fontsize=8)
    return figure
