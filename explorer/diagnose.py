"""Measures on a test split whether the routing of a capsule network does anything, and which of its capsules do.

docs/diagnosis.md explains the measures. Everything is added up batch by batch, so memory does not grow with the split.
"""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from capsules.layers import Capsules
from capsules.ops import length
from capsules.votes import StoredVotes
from input_data import Split, evaluation_batches
from input_data.progress import Progress
from models.network import Classifier
from runner.evaluation import hits, top_labels
from runner.flags import UserError
from runner.loader import Trained

BATCH = 100
EPSILON = 0.01  # a primary capsule whose length never exceeds this is dead
ITERATIONS = (1, 2, 3, 5)  # numbers of routing iterations that a network is evaluated with
BINS = 10  # of the calibration


@dataclass(frozen=True)
class Diagnosis:
    """The measures of one network. Shares are in [0, 1], errors in percent.

    Attributes:
        size: number of test images.
        entropy: entropy of the coupling coefficients of a primary capsule over the classes, 1 if they are uniform; one
            number for each routing iteration.
        logit_change: mean absolute change of the routing logits from each iteration to the next.
        between_classes, within_classes: standard deviation of a coupling coefficient of the last iteration between the
            means of the classes, and around them.
        dead: share of primary capsules whose length never exceeds `EPSILON`.
        always_on: share of primary capsules whose length exceeds `EPSILON` in every image.
        primary_lengths: the largest length of each primary capsule over the images, in ascending order.
        errors: percentage of wrong images for each way to route: "learnt", "uniform" coefficients, "1 iteration", ….
        length_right, length_wrong: mean score of right and of wrong answers; None if there are none.
        calibration_error: expected difference between the score of an answer and the share of right answers with about
            the same score.
        calibration: for each of `BINS` ranges of the score, the number of answers, their mean score and the share of
            right ones.
    """

    size: int
    entropy: list[float]
    logit_change: list[float]
    between_classes: float
    within_classes: float
    dead: float
    always_on: float
    primary_lengths: list[float]
    errors: dict[str, float]
    length_right: float | None
    length_wrong: float | None
    calibration_error: float
    calibration: list[tuple[int, float, float]]


class _WithoutAgreement:
    """Votes that agree with nothing, so that a routing by agreement gives them all the same weight."""

    def __init__(self, votes: StoredVotes):
        self.sum, self.weighted_sum, self.shape, self._votes = votes.sum, votes.weighted_sum, votes.shape, votes

    def attend(self, capsules: Any, couple: Callable) -> tuple[Any, Any]:
        coefficients = couple(0.0 * self._votes.agreement(capsules), axis=2)
        return self.weighted_sum(coefficients), coefficients


def ways_to_route(layer: Capsules) -> dict[str, Callable]:
    """The other ways to route the votes of a layer: routings by name, with the weights of its own."""
    if not hasattr(layer.routing, "iterations"):
        return {"uniform": lambda votes: layer.routing(_WithoutAgreement(votes))}
    ways: dict[str, Callable] = {}
    for count in ITERATIONS:
        way = ways[f"{count} iteration{'s' if count > 1 else ''}"] = copy.copy(layer.routing)
        way.iterations = count
    return {"uniform": ways["1 iteration"]} | ways  # the first iteration's coefficients are uniform


def _look(model: Classifier) -> Callable:
    """A compiled function that computes from images the values that `diagnose` adds up."""
    layer, ways = model.classes, ways_to_route(model.classes)

    @tf.function(reduce_retracing=True)
    def look(images):
        outputs = model(images, training=False)
        primary = model.primary_capsules(images)  # [n, in, atoms]
        coefficients = [step.coefficients for step in layer.route(primary).steps]  # [n, in, classes] each
        totals = [ops.maximum(ops.sum(ops.abs(each), axis=2, keepdims=True), 1e-30) for each in coefficients]
        shares = [ops.abs(each) / total for each, total in zip(coefficients, totals, strict=True)]
        logs = [ops.log(ops.maximum(each, 1e-30)) for each in shares]
        entropies = [-ops.mean(ops.sum(p * log, axis=2)) for p, log in zip(shares, logs, strict=True)]
        centred = [log - ops.mean(log, axis=2, keepdims=True) for log in logs]
        changes = [ops.mean(ops.abs(b - a)) for a, b in itertools.pairwise(centred)]
        votes = layer.votes(primary)
        return {
            "scores": model.scores(outputs["logits"]),
            "entropies": ops.stack(entropies),
            "changes": ops.stack(changes) if changes else ops.zeros((0,)),
            "last": coefficients[-1],
            "lengths": length(primary),
            "ways": {name: way(votes).activations for name, way in ways.items()},
        }

    return look


def diagnose(trained: Trained, split: Split, limit: int | None = None) -> Diagnosis:
    """Measures a capsule network.

    Args:
        trained: the network.
        split: test images.
        limit: number of images to use, from the first; None: all.

    Raises:
        UserError: the network has no capsules.
    """
    model = trained.model
    if not hasattr(model, "primary"):
        raise UserError(
            f"--diagnose is for networks that route primary capsules to the classes. {model.name} has none."
        )
    size, look = min(limit or len(split), len(split)), _look(model)
    classes = np.zeros(model.num_classes)
    sums: dict[str, Any] = {"entropies": 0.0, "changes": 0.0, "first": 0.0, "second": 0.0}
    lowest, highest = np.inf, 0.0
    wrong: dict[str, int] = {}
    answers: list[tuple[np.ndarray, np.ndarray]] = []
    with Progress(-(-size // BATCH), "batch", BATCH) as progress:
        for done, batch in enumerate(evaluation_batches(split, BATCH, size), start=1):
            seen = tf.nest.map_structure(np.asarray, look(tf.constant(batch["images"])))
            labels, count = batch["labels"], len(batch["labels"])
            sums["entropies"] += count * seen["entropies"].astype(float)
            sums["changes"] += count * seen["changes"].astype(float)
            own = np.eye(model.num_classes)[labels[:, 0]]  # [n, classes]; with two digits, the first one counts
            last = seen["last"].astype(float)  # [n, in, out]
            classes += own.sum(axis=0)
            sums["first"] += np.einsum("nk,nio->koi", own, last, optimize=True)
            sums["second"] += (last**2).sum(axis=0).T
            lowest = np.minimum(lowest, seen["lengths"].min(axis=0))
            highest = np.maximum(highest, seen["lengths"].max(axis=0))
            for name, scores in {"learnt": seen["scores"], **seen["ways"]}.items():
                right = hits(labels, top_labels(scores, labels.shape[1])).all(axis=1)
                wrong[name] = wrong.get(name, 0) + int((~right).sum())
            given = top_labels(seen["scores"], labels.shape[1])
            answers.append((np.take_along_axis(seen["scores"], given, axis=1).ravel(), hits(given, labels).ravel()))
            progress.update(done)
    scores, right = (np.concatenate(each) for each in zip(*answers, strict=True))
    between, within = deviations(classes, sums["first"], sums["second"])
    calibration = calibrate(scores, right)
    return Diagnosis(
        size=size,
        entropy=(sums["entropies"] / size / np.log(model.num_classes)).tolist(),
        logit_change=(sums["changes"] / size).tolist(),
        between_classes=between,
        within_classes=within,
        dead=float((highest <= EPSILON).mean()),
        always_on=float((lowest > EPSILON).mean()),
        primary_lengths=np.sort(highest).astype(float).tolist(),
        errors={name: 100 * count / size for name, count in wrong.items()},
        length_right=float(scores[right].mean()) if right.any() else None,
        length_wrong=float(scores[~right].mean()) if not right.all() else None,
        calibration_error=sum(n * abs(score - share) for n, score, share in calibration) / len(scores),
        calibration=calibration,
    )


def deviations(counts: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Standard deviations between and within classes, over all pairs of capsules.

    Args:
        counts: images of each class [classes].
        first: sums of the coefficients over the images of each class [classes, out, in].
        second: sums of their squares over all images [out, in].
    """
    present = counts > 0
    shares = counts[present, None, None] / counts.sum()
    means = first[present] / counts[present, None, None]
    between = (shares * means**2).sum(axis=0) - (shares * means).sum(axis=0) ** 2
    within = second / counts.sum() - (shares * means**2).sum(axis=0)
    return tuple(float(np.sqrt(np.maximum(variance, 0).mean())) for variance in (between, within))


def calibrate(scores: np.ndarray, right: np.ndarray) -> list[tuple[int, float, float]]:
    """The number of answers, their mean score and the share of right ones for each of `BINS` ranges of the score."""
    places = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    rows = []
    for index in range(BINS):
        inside = places == index
        count = int(inside.sum())
        mean, share = (float(values[inside].mean()) if count else 0.0 for values in (scores, right))
        rows.append((count, mean, share))
    return rows
