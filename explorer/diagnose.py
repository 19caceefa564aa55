"""Measures on a test split whether the routing of a capsule network does anything, and which of its capsules do.

docs/diagnosis.md explains the measures. Everything is added up batch by batch, so memory does not grow with the split.
"""

import copy
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from capsules.layers import Capsules
from capsules.ops import length
from capsules.routing import Step
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
_CHUNK = 128  # input capsules whose votes are stored at a time
_TINY = 1e-30


@dataclass(frozen=True)
class Diagnosis:
    """The measures of one network. Shares are in [0, 1], errors in percent; "winner" is the class that is answered."""

    size: int  # test images
    # For each routing iteration: entropy of a primary capsule's couplings over the J classes, 1 if they are uniform;
    # standard deviation σ of its routing logits (root mean square); mean absolute change of the logits to the next one.
    entropy: list[float]
    logit_spread: list[float]
    logit_change: list[float]
    predicted_decision: float  # σ²/(2 ln J) of the last iteration, which is about 1 − entropy where σ is small
    # Standard deviations of a coupling of the last iteration: between the means of the classes, and around them.
    between_classes: float
    within_classes: float
    # Of the votes for the winner, for each iteration: shares that point towards its capsule and away; the net push
    # Σ_i c_i û_i·v/‖v‖ / Σ_i |c_i| ‖û_i‖; the share of Σ_i c_i û_i·v/‖v‖ that is there because couplings differ from
    # their mean over the classes; mean cosine with the capsule. Of two digits in an image, both are winners.
    votes_towards: list[float]
    votes_away: list[float]
    net_push: list[float]
    push_of_routing: list[float]
    mean_cosine: list[float]
    # Primary capsules: shares whose length never, or in every image, exceeds `EPSILON`; mean length.
    dead: float
    always_on: float
    mean_primary_length: float
    errors: dict[str, float]  # wrong images for each way to route: "learnt", "uniform" coefficients, "2 iterations", …
    changed: int  # images whose answer is another one with uniform coefficients
    length_right: float | None  # mean score of right answers; None if there are none
    length_wrong: float | None


def _without_agreement(votes: StoredVotes) -> StoredVotes:
    """The votes, but that they agree with nothing, so that a routing by agreement gives them all the same weight."""
    deaf: Any = copy.copy(votes)
    deaf.agreement = lambda capsules: votes.agreement(0.0 * capsules)
    deaf.attend = lambda capsules, couple: votes.attend(0.0 * capsules, couple)
    return deaf


def ways_to_route(layer: Capsules) -> dict[str, Callable]:
    """The other ways to route the votes of a layer: routings by name, with the weights of its own.

    A routing with `iterations` begins with uniform coefficients, so that one iteration is the uniform way. Of others,
    the agreements are replaced by 0.
    """
    if not hasattr(layer.routing, "iterations"):
        return {"uniform": lambda votes: layer.routing(_without_agreement(votes))}
    ways: dict[str, Callable] = {}
    for count in ITERATIONS:
        way = ways["uniform" if count == 1 else f"{count} iterations"] = copy.copy(layer.routing)
        way.iterations = count
    return ways


def agreement_of_winners(votes: StoredVotes, steps: list[Step], winners: Any) -> dict[str, Any]:
    """How the votes for the winners, int [n, targets], lie to the capsules of each step: measures of `Diagnosis`."""
    chosen = ops.one_hot(winners, votes.shape[1])  # [n, targets, out]

    def of_winners(values):  # [n, in, out] to [n, in, targets]
        return ops.einsum("nio,nto->nit", values, chosen)

    lengths = of_winners(ops.concatenate(votes.in_parts(_CHUNK, length), axis=1))
    found = []
    for step in steps:
        couplings = of_winners(step.coefficients)
        along = of_winners(votes.agreement(step.capsules) / ops.maximum(length(step.capsules)[:, None], _TINY))
        push, most = ops.sum(couplings * along, axis=1), ops.sum(ops.abs(couplings) * lengths, axis=1)
        preferred = couplings - ops.mean(step.coefficients, axis=2)[:, :, None]  # [n, in, targets]
        found.append({
            "votes_towards": ops.mean(ops.cast(along > 0, "float32")),
            "votes_away": ops.mean(ops.cast(along < 0, "float32")),
            "net_push": ops.mean(push / ops.maximum(most, _TINY)),
            "push_of_routing": ops.sum(preferred * along) / ops.sum(push),
            "mean_cosine": ops.mean(along / ops.maximum(lengths, _TINY)),
        })  # fmt: skip
    return {name: ops.stack([each[name] for each in found]) for name in found[0]}


def _look(model: Classifier, targets: int) -> Callable:
    """A compiled function that computes from images what `diagnose` adds up; "means" has means over the images."""
    layer, ways = model.classes, ways_to_route(model.classes)

    @tf.function(reduce_retracing=True)
    def look(images):
        logits = model(images, training=False)["logits"]
        primary = model.primary_capsules(images)  # [n, in, atoms]
        votes, steps = layer.votes(primary), layer.route(primary).steps
        shares = ops.cast([step.coefficients for step in steps], "float64")  # fresh networks' entropy is 1 - 1e-6
        shares = ops.abs(shares) / ops.maximum(ops.sum(ops.abs(shares), axis=3, keepdims=True), _TINY)
        logs = ops.log(ops.maximum(shares, _TINY))
        centred = logs - ops.mean(logs, axis=3, keepdims=True)  # the routing logits, but for a constant
        means = {
            "entropy": -ops.mean(ops.sum(shares * logs, axis=3), axis=(1, 2)),
            "logit_change": ops.mean(ops.abs(centred[1:] - centred[:-1]), axis=(1, 2, 3)),
            "variance": ops.mean(ops.square(centred), axis=(1, 2, 3)),
            "mean_primary_length": ops.mean(length(primary)),
        }
        return {
            "means": means | agreement_of_winners(votes, steps, ops.top_k(logits, targets)[1]),
            "last": steps[-1].coefficients,
            "lengths": length(primary),
            "scores": {"learnt": model.scores(logits)} | {name: way(votes).activations for name, way in ways.items()},
        }

    return look


def diagnose(trained: Trained, split: Split, limit: int | None = None) -> Diagnosis:
    """Measures a capsule network, whatever its routing is, on `limit` test images spread over the split; None: all."""
    model, targets = trained.model, trained.config.num_targets
    if not hasattr(model, "primary"):
        raise UserError(
            f"--diagnose is for networks that route primary capsules to the classes. {model.name} has none."
        )
    size, look = min(limit or len(split), len(split)), _look(model, targets)
    counts, first, second = np.zeros(model.num_classes), 0.0, 0.0
    means, wrong = defaultdict[str, Any](float), defaultdict[str, int](int)
    lowest, highest, changed = np.inf, 0.0, 0
    answers: list[tuple[np.ndarray, np.ndarray]] = []
    with Progress(-(-size // BATCH), "batch", BATCH) as progress:
        for done, batch in enumerate(evaluation_batches(split, BATCH, size), start=1):
            seen = tf.nest.map_structure(np.asarray, look(tf.constant(batch["images"])))
            labels = batch["labels"]
            for name, values in seen["means"].items():
                means[name] += len(labels) / size * values.astype(float)
            own = np.eye(model.num_classes)[labels[:, 0]]  # [n, classes]; with two digits, the first one counts
            last = seen["last"].astype(float)  # [n, in, out]
            counts += own.sum(axis=0)
            first += np.einsum("nk,nio->koi", own, last, optimize=True)
            second += (last**2).sum(axis=0).T
            lowest = np.minimum(lowest, seen["lengths"].min(axis=0))
            highest = np.maximum(highest, seen["lengths"].max(axis=0))
            given = {name: top_labels(scores, targets) for name, scores in seen["scores"].items()}
            for name, predicted in given.items():
                wrong[name] += int((~hits(labels, predicted).all(axis=1)).sum())
            changed += int((~hits(given["learnt"], given["uniform"]).all(axis=1)).sum())
            scores = np.take_along_axis(seen["scores"]["learnt"], given["learnt"], axis=1)
            answers.append((scores.ravel(), hits(given["learnt"], labels).ravel()))
            progress.update(done)
    scores, right = (np.concatenate(each) for each in zip(*answers, strict=True))
    between, within = deviations(counts, first, second)
    variance, uniform = means.pop("variance"), np.log(model.num_classes)
    means["entropy"] /= uniform
    return Diagnosis(
        size=size,
        logit_spread=np.sqrt(variance).tolist(),
        predicted_decision=float(variance[-1] / 2 / uniform),
        between_classes=between,
        within_classes=within,
        dead=float((highest <= EPSILON).mean()),
        always_on=float((lowest > EPSILON).mean()),
        errors={name: 100 * count / size for name, count in wrong.items()},
        changed=changed,
        length_right=float(scores[right].mean()) if right.any() else None,
        length_wrong=float(scores[~right].mean()) if not right.all() else None,
        **{name: values.tolist() for name, values in means.items()},
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
