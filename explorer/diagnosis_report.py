"""Reports the diagnosis of networks as a table, a JSON file and a figure."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from explorer.compare import network_names
from explorer.diagnose import BINS, EPSILON, Diagnosis, diagnose
from explorer.sheets import DPI, write
from input_data import Split
from input_data.formats.files import atomic_write
from runner.loader import Trained


def rows(diagnosis: Diagnosis) -> dict[str, str]:
    """The measures as text, by name."""
    own = {"test images": f"{diagnosis.size:,}"}
    for index, value in enumerate(diagnosis.entropy, start=1):
        own[f"entropy of the couplings, iteration {index} (1: uniform)"] = f"{value:.4f}"
    for index, value in enumerate(diagnosis.logit_change, start=1):
        own[f"change of the routing logits, {index} to {index + 1}"] = f"{value:.4f}"
    own["deviation of a coupling between classes"] = f"{diagnosis.between_classes:.4f}"
    own["deviation of a coupling within a class"] = f"{diagnosis.within_classes:.4f}"
    own[f"primary capsules that are dead (never above {EPSILON:g})"] = f"{diagnosis.dead:.1%}"
    own[f"primary capsules that are always on (above {EPSILON:g})"] = f"{diagnosis.always_on:.1%}"
    for name, percent in diagnosis.errors.items():
        own[f"error in %, {name}{' couplings' if name == 'uniform' else ''}"] = f"{percent:.2f}"
    for name, value in (("right", diagnosis.length_right), ("wrong", diagnosis.length_wrong)):
        own[f"mean score of {name} answers"] = "none" if value is None else f"{value:.3f}"
    own["expected calibration error"] = f"{diagnosis.calibration_error:.3f}"
    return own


def table(diagnoses: list[Diagnosis], names: list[str]) -> str:
    """The measures of networks side by side; a dash where a network has no such measure."""
    columns = [rows(each) for each in diagnoses]
    labels = list(dict.fromkeys(label for column in columns for label in column))
    left, wide = max(map(len, labels)), [max(len(name), 8) for name in names]
    lines = ["  ".join(["".ljust(left), *(name.rjust(width) for name, width in zip(names, wide, strict=True))])]
    for label in labels:
        cells = (column.get(label, "-").rjust(width) for column, width in zip(columns, wide, strict=True))
        lines.append("  ".join([label.ljust(left), *cells]))
    return "\n".join(lines)


def plot(diagnoses: list[Diagnosis], names: list[str]) -> Figure:
    """Six panels: entropy, change of the logits, deviations, errors, primary capsules, calibration."""
    figure = Figure(figsize=(14, 7.5), layout="constrained")
    (entropy, change, deviation), (error, primary, calibration) = figure.subplots(2, 3)
    width = 0.8 / len(names)
    for index, (own, name) in enumerate(zip(diagnoses, names, strict=True)):
        entropy.plot(range(1, len(own.entropy) + 1), own.entropy, "o-", label=name)
        change.plot(range(2, len(own.logit_change) + 2), own.logit_change, "o-")
        places = [place + index * width for place in (0, 1)]
        deviation.bar(places, [own.between_classes, own.within_classes], width)
        ways = list(dict.fromkeys(way for each in diagnoses for way in each.errors))
        places = [ways.index(way) + index * width for way in own.errors]
        error.bar(places, list(own.errors.values()), width)
        count = len(own.primary_lengths)
        primary.plot([100 * place / count for place in range(count)], own.primary_lengths, drawstyle="steps-post")
        filled = [(score, share) for answers, score, share in own.calibration if answers]
        calibration.plot(*zip(*filled, strict=True), "o-")
    entropy.set(title="Entropy of the couplings (1: uniform)", xlabel="iteration", ylim=(0, 1.05))
    change.set(title="Change of the routing logits", xlabel="iteration")
    deviation.set(title="Deviation of a coupling", xticks=(0, 1), xticklabels=("between classes", "within a class"))
    error.set(title="Error in % by way to route", xticks=range(len(ways)))
    error.set_xticklabels(ways, rotation=30, ha="right")
    primary.axhline(EPSILON, color="grey", linewidth=0.8, linestyle=":")
    primary.set(title="Largest length of each primary capsule", xlabel="capsules in %, by length", ylim=(0, 1.05))
    calibration.plot((0, 1), (0, 1), color="grey", linewidth=0.8, linestyle=":")
    calibration.set(title=f"Share of right answers in {BINS} ranges of the score", xlabel="score", ylim=(0, 1.05))
    for axes in (entropy, change):
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    figure.legend(*entropy.get_legend_handles_labels(), loc="outside upper center", ncols=len(names))
    return figure


def report(
    networks: list[Trained],
    split: Split,
    size: int | None,
    out: Path,
    say: Callable[[str], None] = print,
    ending: str = "png",
    dpi: int = DPI,
) -> None:
    """Measures networks, prints the table and writes `diagnosis.json` and a figure, `diagnosis.png`, into `out`."""
    diagnoses = [diagnose(each, split, size) for each in networks]
    names = network_names(networks)
    say(table(diagnoses, names))
    out.mkdir(parents=True, exist_ok=True)
    content = [{"network": name} | asdict(own) for name, own in zip(names, diagnoses, strict=True)]
    with atomic_write(out / "diagnosis.json") as (draft,):
        draft.write_text(json.dumps({"data": split.info.name, "networks": content}, indent=1) + "\n")
    write(out / f"diagnosis.{ending}", plot(diagnoses, names), dpi)
    for name in ("diagnosis.json", f"diagnosis.{ending}"):
        say(str(out / name))
