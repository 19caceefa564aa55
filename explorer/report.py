"""Reports measurements of networks, robustness and diagnosis alike: a table, a file of numbers and a figure."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from explorer.diagnose import EPSILON, Diagnosis, diagnose
from explorer.robustness import CHANGES, measure
from explorer.sheets import DPI, fitted, strip, write
from input_data import Split, evaluation_batches
from input_data.formats.files import atomic_write
from input_data.progress import say
from runner.config import conflicts
from runner.flags import UserError
from runner.loader import Trained


def diagnosis_column(own: Diagnosis) -> dict[str, str]:
    """The measures of a network as text, by name."""
    column = {"test images": f"{own.size:,}"}
    for index, value in enumerate(own.entropy, start=1):
        column[f"entropy of the couplings, iteration {index} (1: uniform)"] = f"{value:.4f}"
    column["1 − entropy in the last iteration"] = f"{1 - own.entropy[-1]:.4f}"
    column["σ²/(2 ln J), which predicts it"] = f"{own.predicted_decision:.4f}"
    column["spread σ of the routing logits"] = f"{own.logit_spread[-1]:.4f}"
    for index, value in enumerate(own.logit_change, start=1):
        column[f"change of the routing logits, {index} to {index + 1}"] = f"{value:.4f}"
    column["deviation of a coupling between classes"] = f"{own.between_classes:.4f}"
    column["deviation of a coupling within a class"] = f"{own.within_classes:.4f}"
    column["votes for the winner that point towards it"] = f"{own.votes_towards[-1]:.1%}"
    column["votes for the winner that point away"] = f"{own.votes_away[-1]:.1%}"
    for index, value in enumerate(own.net_push, start=1):
        column[f"net push of these votes, iteration {index}"] = f"{value:.1%}"
    column["share of their push that is the routing's"] = f"{own.push_of_routing[-1]:.1%}"
    column["mean cosine of these votes"] = f"{own.mean_cosine[-1]:.3f}"
    column[f"primary capsules that are dead (never above {EPSILON:g})"] = f"{own.dead:.1%}"
    column[f"primary capsules that are always on (above {EPSILON:g})"] = f"{own.always_on:.1%}"
    column["mean length of a primary capsule"] = f"{own.mean_primary_length:.3f}"
    for name, percent in own.errors.items():
        column[f"error in %, {name}{' couplings' if name == 'uniform' else ''}"] = f"{percent:.2f}"
    column["answers that routing changes"] = f"{own.changed:,}"
    for name, value in (("right", own.length_right), ("wrong", own.length_wrong)):
        column[f"mean score of {name} answers"] = "none" if value is None else f"{value:.3f}"
    return column


def table(title: str, columns: list[dict[str, str]], names: list[str]) -> str:
    """The measures of networks side by side; a dash where a network has no such measure."""
    labels = list(dict.fromkeys(label for column in columns for label in column))
    left, wide = max(map(len, (title, *labels))), [max(len(name), 8) for name in names]
    cells = [names, *([column.get(label, "-") for column in columns] for label in labels)]
    return "\n".join(
        "  ".join([label.ljust(left), *(cell.rjust(width) for cell, width in zip(row, wide, strict=True))])
        for label, row in zip((title, *labels), cells, strict=True)
    )


def plot_robustness(found: dict[str, np.ndarray], size: int, names: list[str], image: np.ndarray) -> Figure:
    """Plots the accuracy by amount for each change, above an image that shows it."""
    figure = Figure(figsize=(15, 4.8), layout="constrained")
    upper, lower = figure.subplots(2, len(CHANGES), height_ratios=(4, 1))
    gaps = {}  # to the accuracy of the second network or, of one alone, to that on images without a change
    for axes, below, (change, (function, unit, amounts)) in zip(upper, lower, CHANGES.items(), strict=True):
        percents = 100 * found[change] / size  # [amounts, networks]
        axes.plot(amounts, percents, "o-", markersize=4)
        usual = percents[amounts.index(1 if change == "scale" else 0)]
        gap = abs(percents[:, 0] - (percents[:, 1] if len(names) > 1 else usual[0]))
        here, lowest = gap.argmax(), " and ".join(f"{each:.1f}" for each in percents.min(axis=0))
        right = " and ".join(f"{each:.1f} %" for each in percents[here])
        gaps[gap[here]] = f"{change} of {amounts[here]:g} ({unit})", right
        axes.set(title=f"{change}: to {lowest} %", xlabel=unit, xticks=amounts, ylim=(0, 102))
        strip(below, {"": np.concatenate([function(image[None], x) for x in amounts])}, [""] * len(amounts))
    upper[0].set_ylabel(f"accuracy in % of {size:,} images")
    what, right = gaps[max(gaps)]
    one, two = f"{names[0]}: {what} costs most, {right} are right", f"They differ most with {what}: {right} are right"
    return _finished(figure, two if len(names) > 1 else one, upper, names)


def plot_diagnosis(diagnoses: list[Diagnosis], names: list[str]) -> Figure:
    """Four panels, each with what it says of the first network as its title."""
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    (entropy, votes), (error, deviation) = figure.subplots(2, 2)
    own, ways = diagnoses[0], list(dict.fromkeys(way for each in diagnoses for way in each.errors))
    for index, each in enumerate(diagnoses):
        iterations, colour = range(1, len(each.entropy) + 1), f"C{index}"
        entropy.plot(iterations, [1 - value for value in each.entropy], "o-", label="measured", color=colour)
        entropy.plot(iterations[-1], each.predicted_decision, "x", label="σ²/(2 ln J)", color=colour, markersize=9)
        parts = [values[-1] for values in (each.votes_towards, each.votes_away, each.net_push, each.mean_cosine)]
        _bars(votes, index, len(names), ("towards", "away", "net push", "cosine"), parts)
        _bars(error, index, len(names), ways, [each.errors.get(way, np.nan) for way in ways])
        kinds = ("between classes", "within a class")
        _bars(deviation, index, len(names), kinds, [each.between_classes, each.within_classes])
    entropy.legend(fontsize=8)
    entropy.xaxis.get_major_locator().set_params(integer=True)
    push = " → ".join(f"{100 * value:.1f}" for value in own.net_push)
    found = {
        entropy: (f"Routing decides {100 - 100 * own.entropy[-1]:.2f} %; the spread of its logits predicts "
                  f"{100 * own.predicted_decision:.2f} %", "iteration", "1 − entropy of the couplings"),
        votes: (f"{100 * own.votes_away[-1]:.1f} % of the votes for the winner point away; their net push is {push} %",
                "votes for the winner", "share"),
        error: (f"Error {own.errors['learnt']:.2f} % as trained, {own.errors['uniform']:.2f} % with uniform couplings",
                "way to route", "error in %"),
        deviation: (f"A coupling varies by {own.between_classes:.3f} between classes, {own.within_classes:.3f} within",
                    "images of different classes, and of one", "standard deviation"),
    }  # fmt: skip
    for axes, (title, below, left) in found.items():
        axes.set_title(fitted(title, 4, 10), fontsize=10)
        axes.set(xlabel=below, ylabel=left)
        if axes is not votes:
            axes.set_ylim(bottom=0)
    return _finished(figure, f"{names[0]}: routing changes {own.changed:,} answers of {own.size:,}", figure.axes, names)


def _bars(axes: Axes, index: int, count: int, labels: Any, values: list[float]) -> None:
    """Draws the bars of one of several networks."""
    width = 0.8 / count
    axes.bar(np.arange(len(labels)) + (index - (count - 1) / 2) * width, values, width, color=f"C{index}")
    axes.set_xticks(range(len(labels)), labels, rotation=30 if len(labels) > 4 else 0)


def _finished(figure: Figure, title: str, panels: Any, names: list[str]) -> Figure:
    """Adds the title, a grid and, of several networks, a legend."""
    figure.suptitle(title, weight="bold")
    for axes in panels:
        axes.grid(alpha=0.3)
    if len(names) > 1:
        lines = [matplotlib.lines.Line2D([], [], color=f"C{index}", marker="o") for index in range(len(names))]
        figure.legend(lines, names, loc="outside lower center", ncols=len(names))
    return figure


def robustness(networks: list[Trained], names: list[str], split: Split, size: int | None) -> tuple:
    """The table's title and columns, the content of robustness.csv, and the figure."""
    size, lines = min(size or 1000, len(split)), []
    found = measure(networks, split, size)
    columns: list[dict[str, str]] = [{} for _ in names]
    for index, name in enumerate(names):
        for change, (_, unit, amounts) in CHANGES.items():
            for amount, count in zip(amounts, found[change][:, index], strict=True):
                columns[index][f"{change:<9}{amount:>5g} {unit:<9}"] = f"{100 * count / size:.2f}"
                lines.append((name, change, amount, unit, size, count, f"{100 * count / size:.6g}"))
    text = io.StringIO()
    csv.writer(text).writerows([("network", "change", "amount", "unit", "size", "correct", "percent"), *lines])
    image = next(evaluation_batches(split, 1, 1))["images"][0]
    return "accuracy in %", columns, text.getvalue(), plot_robustness(found, size, names, image)


def diagnosis(networks: list[Trained], names: list[str], split: Split, size: int | None) -> tuple:
    """The table's title and columns, the content of diagnosis.json, and the figure."""
    diagnoses = [diagnose(each, split, size) for each in networks]
    own = [{"network": name} | asdict(each) for name, each in zip(names, diagnoses, strict=True)]
    content = json.dumps({"data": split.info.name, "networks": own}, indent=1) + "\n"
    return "", [diagnosis_column(each) for each in diagnoses], content, plot_diagnosis(diagnoses, names)


KINDS: dict[str, tuple[Callable, str]] = {"robustness": (robustness, "csv"), "diagnosis": (diagnosis, "json")}


def report(
    kind: str, networks: list[Trained], split: Split, size: int | None, out: Path, ending: str = "png", dpi: int = DPI
) -> None:
    """Measures networks on `size` test images, prints the table and writes a file of numbers and a figure into `out`.

    `kind` is "diagnosis" or "robustness"; without a size these take all images and 1,000. For `ending` and `dpi` see
    `sheets.write`. UserError: two networks have different images or classes.
    """
    one, other = (each.config.facts("data") for each in (networks[0], networks[-1]))
    if words := conflicts(one, other, "{} is {} of one and {} of the other"):
        raise UserError(
            f"Both networks must be for the same images and classes. {words}. Give --compare another checkpoint."
        )
    names, (measured, form) = [f"{each.model.name}, {each.step:,} steps" for each in networks], KINDS[kind]
    if len(set(names)) < len(names):
        names = [f"{name} ({index})" for index, name in enumerate(names, start=1)]
    with matplotlib.rc_context({"text.parse_math": False}):
        title, columns, content, figure = measured(networks, names, split, size)
        say(table(title, columns, names))
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(out / f"{kind}.{form}") as (draft,):
            draft.write_bytes(content.encode())
        write(out / f"{kind}.{ending}", figure, dpi)
    for each in (form, ending):
        say(f"{out / kind}.{each}")
