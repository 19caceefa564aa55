"""Writes the file of `--predictions`: a network's output for each example, as a table or as arrays."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from input_data.formats.files import atomic_write
from runner.flags import UserError


def write(
    path: Path,
    class_names: tuple[str, ...],
    logits: np.ndarray,
    predictions: np.ndarray,
    labels: np.ndarray | None = None,
    names: list[str] | None = None,
) -> None:
    """Writes predictions, completely or not at all: a table to a .csv file, or named arrays to a .npz file.

    Args:
        path: the file.
        class_names: one name for each class; a table has these names as labels and predictions.
        logits: float32 [n, classes]; for capsules, their lengths.
        predictions: int [n, num_targets], largest logit first.
        labels: int [n, num_targets], or None if there are no labels.
        names: names of the examples; None: their numbers.
    """
    ending = path.suffix.lower()
    if ending not in (".npz", ".csv"):
        raise UserError(f"--predictions takes a .npz or .csv file. Received: {path}")
    if path.is_dir():
        raise UserError(f"--predictions takes a file, and {path} is a folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if ending == ".npz":
        arrays: dict[str, Any] = {"logits": logits, "predictions": predictions, "class_names": class_names}
        optional = {"labels": labels, "names": names}
        arrays |= {name: value for name, value in optional.items() if value is not None}
        with atomic_write(path) as (draft,), draft.open("wb") as file:
            np.savez(file, **arrays)
        return
    columns: list = [("name", names) if names else ("example", range(len(logits)))]
    for head, numbers in (("label", labels), ("prediction", predictions)):
        if numbers is not None:
            for index, column in enumerate(numbers.T):
                title = head if index == 0 else f"{head} {index + 1}"
                columns.append((title, [class_names[number] for number in column]))
    columns += [(f"logit {name}", logits[:, index]) for index, name in enumerate(class_names)]
    # A file's name need not be UTF-8.
    with (
        atomic_write(path) as (draft,),
        draft.open("w", newline="", encoding="utf-8", errors="surrogateescape") as text,
    ):
        table = csv.writer(text)
        table.writerow(head for head, _ in columns)
        table.writerows(zip(*(map(str, values) for _, values in columns), strict=True))
