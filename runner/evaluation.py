"""Evaluates a network over a stream of batches in bounded memory, and writes its predictions."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from input_data import Split, evaluation_batches
from input_data.formats.files import atomic_write
from input_data.progress import Progress, say
from runner.flags import UserError


class NotFinite(UserError):
    """A network cannot be evaluated because its outputs are NaN or infinite."""


@dataclass
class Result:
    """Counts over a test set of `size` examples.

    `wrong` are those with a label that is not among the top logits, `almost_wrong` those with none among them; `loss`
    is the mean total loss, NaN for an ensemble. `predictions` has "logits" [size, classes], "labels" and "predictions"
    [size, num_targets].
    """

    size: int
    wrong: int
    almost_wrong: int
    loss: float
    predictions: dict[str, Any] = field(repr=False)

    @property
    def percent(self) -> float:
        """Percentage of wrong examples."""
        return 100.0 * self.wrong / self.size

    def __str__(self):
        return f"Total wrong predictions: {self.wrong}, wrong percent: {self.percent:.6g}%"


def top_labels(logits: np.ndarray, count: int) -> np.ndarray:
    """The `count` classes with the largest logits [n, classes], largest first, int32 [n, count]."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :count].astype(np.int32)


def hits(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Whether each label [n, num_targets] is among its example's predictions [n, num_targets], bool."""
    return (labels[:, :, None] == predicted[:, None, :]).any(axis=2)


def count(logits: np.ndarray, labels: np.ndarray, loss: float) -> Result:
    """The result of logits [n, classes] for labels [n, num_targets]."""
    if broken := int((~np.isfinite(logits)).any(axis=1).sum()):
        raise NotFinite(f"The network's outputs are not finite for {broken} of {len(logits)} examples.")
    predicted = top_labels(logits, labels.shape[1])
    right = hits(labels, predicted)
    wrong, almost_wrong = int((~right.all(axis=1)).sum()), int((~right.any(axis=1)).sum())
    answers = {"logits": logits, "labels": labels, "predictions": predicted}
    return Result(len(labels), wrong, almost_wrong, loss, answers)


def evaluate(step: Callable, split: Split, batch_size: int = 100, limit: int | None = None) -> Result:
    """Runs a network, by its step from `make_evaluation_step`, over `limit` examples (None: all) of a split."""
    logits, labels, loss, seen = [], [], 0.0, 0
    with Progress(min(limit or len(split), len(split)), "tested") as progress:
        for batch in evaluation_batches(split, batch_size, limit):
            outputs, batch_loss = step(batch)
            logits.append(outputs.numpy())
            labels.append(batch["labels"])
            loss += float(batch_loss)
            seen += len(batch["labels"])
            progress.update(seen)
    return count(np.concatenate(logits), np.concatenate(labels), loss / seen)


def write_predictions(
    path: str | None, class_names: tuple[str, ...], logits: np.ndarray, predictions: np.ndarray,
    labels: np.ndarray | None = None, names: list[str] | None = None,
) -> None:  # fmt: skip
    """Writes the file of --predictions, if there is one: named arrays to a .npz file, or a table to any other.

    They are logits float32 [n, classes], which are lengths for capsules, predictions, largest logit first, and labels
    int [n, num_targets], and the names of the examples, without which a table has their numbers.
    """
    if path is None:
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(Path(path)) as (draft,):
        if path.lower().endswith(".npz"):
            arrays: dict[str, Any] = {"logits": logits, "predictions": predictions, "class_names": class_names}
            arrays |= {name: value for name, value in (("labels", labels), ("names", names)) if value is not None}
            with draft.open("wb") as file:
                np.savez(file, **arrays)
        else:
            columns: dict[str, Any] = {"name": names} if names else {"example": range(len(logits))}
            for head, numbers in (("label", labels), ("prediction", predictions)):
                for index, column in enumerate(() if numbers is None else numbers.T):
                    columns[f"{head} {index + 1}" if index else head] = [class_names[number] for number in column]
            columns |= {f"logit {name}": logits[:, index] for index, name in enumerate(class_names)}
            with draft.open("w", -1, "utf-8", "surrogateescape", "") as table:  # a picture's name need not be UTF-8
                csv.writer(table).writerows([columns, *zip(*columns.values(), strict=True)])
    say(f"Predictions: {path}")
