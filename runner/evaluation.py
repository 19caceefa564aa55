"""Evaluates a network, or several as an ensemble, over a stream of batches in bounded memory."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from input_data.progress import Progress
from runner.flags import UserError


class NotFinite(UserError):
    """A network cannot be evaluated because its outputs are NaN or infinite."""


@dataclass
class Result:
    """Counts over a test set.

    Attributes:
        size: number of examples.
        wrong: examples with some label that is not among the top logits.
        almost_wrong: examples with no label among the top logits.
        loss: mean total loss; NaN for an ensemble, which has none.
        predictions: "logits" [size, classes], "labels" and "predictions" [size, num_targets].
    """

    size: int
    wrong: int
    almost_wrong: int
    loss: float
    predictions: dict[str, np.ndarray] = field(repr=False)

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


def _result(logits: list, labels: list, loss: float) -> Result:
    all_logits, all_labels = np.concatenate(logits), np.concatenate(labels)
    broken = int((~np.isfinite(all_logits)).any(axis=1).sum())
    if broken:
        raise NotFinite(
            f"The network's outputs are not finite for {broken} of {len(all_logits)} examples: "
            "its weights have grown too large."
        )
    predicted = top_labels(all_logits, all_labels.shape[1])
    right = hits(all_labels, predicted)
    return Result(
        size=len(all_labels),
        wrong=int((~right.all(axis=1)).sum()),
        almost_wrong=int((~right.any(axis=1)).sum()),
        loss=loss / len(all_labels),
        predictions={"logits": all_logits, "labels": all_labels, "predictions": predicted},
    )


def evaluate(step: Callable, batches: Iterable[dict], total: int) -> Result:
    """Runs one network over a test set.

    Args:
        step: from `make_evaluation_step`.
        batches: from `input_data.evaluation_batches`.
        total: number of examples, for the progress line.
    """
    logits, labels, loss = [], [], 0.0
    seen = 0
    with Progress(total, "tested") as progress:
        for batch in batches:
            outputs, batch_loss = step(batch)
            logits.append(outputs.numpy())
            labels.append(batch["labels"])
            loss += float(batch_loss)
            seen += len(batch["labels"])
            progress.update(seen)
    return _result(logits, labels, loss)


def evaluate_ensemble(members: Iterable[Callable], batches: Callable[[], Iterable[dict]], total: int, say) -> Result:
    """Sums the logits of several networks, one network in memory at a time (2017's `--num_trials`).

    Args:
        members: the step of each network in turn.
        batches: a function that starts the test set from the beginning.
        total: number of examples.
        say: takes (member's index, its Result).
    """
    summed: Any = 0.0
    labels: list = []
    for index, step in enumerate(members):
        result = evaluate(step, batches(), total)
        say(index, result)
        summed = summed + result.predictions["logits"]
        labels = [result.predictions["labels"]]
    return _result([summed], labels, float("nan"))
