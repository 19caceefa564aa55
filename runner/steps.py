"""Compiles the training and evaluation steps, for one device or a distribution strategy."""

import math
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from keras import ops

from capsules.metrics import score
from models.network import Classifier
from runner.checkpoints import last_good
from runner.devices import Machines
from runner.flags import UserError

PENDING = 100  # steps whose metrics may stay unread, and thus a bad loss unnoticed


def make_train_step(model: Classifier, optimizer, machines: Machines, jit: bool = False) -> Callable:
    """A function that trains on a list of batches from `input_data`, with one step for each, in one call.

    The network and the optimizer, built on its variables, were made under the machines' strategy. With `jit`, XLA
    compiles the forward and backward pass. The function returns for each batch a dict of float32 scalars:
    classification, reconstruction, total, and the counts correct and almost.
    """
    strategy, replicas = machines.strategy, machines.strategy.num_replicas_in_sync
    if jit and any(getattr(layer, "synchronized", False) for layer in model.layers):
        reason = "whose averages of its batch normalisation XLA cannot compile"
        raise UserError(f"--xla does not work for {model.name} on several devices, {reason}. Leave --xla out.")

    def gradients(batch):
        with tf.GradientTape() as tape:
            outputs = model(batch["images"], training=True)
            costs = model.costs(outputs, batch["images"], batch["labels"], batch.get("reconstruction_targets"))
            share = costs["total"] / replicas
            scaled = optimizer.scale_loss(share) if hasattr(optimizer, "inner_optimizer") else share
        correct, almost = score(batch["labels"], outputs["logits"])
        metrics = {name: cost / replicas for name, cost in costs.items()}
        metrics["correct"] = ops.sum(ops.cast(correct, "float32"))
        metrics["almost"] = ops.sum(ops.cast(almost, "float32"))
        return tape.gradient(scaled, [v.value for v in model.trainable_variables]), metrics

    # XLA compiles only this inner function.
    if jit or replicas == 1:
        gradients = tf.function(gradients, jit_compile=jit)

    def replica_steps(batches):
        results = []
        for batch in batches:  # unrolled: several steps in one call
            grads, metrics = gradients(batch)
            optimizer.apply(grads, model.trainable_variables)
            results.append(metrics)
        return results

    if replicas == 1:
        return tf.function(replica_steps, reduce_retracing=True)

    @tf.function(reduce_retracing=True)
    def steps(batches):
        results = strategy.run(replica_steps, args=(batches,))
        return [{name: strategy.reduce("SUM", value, axis=None) for name, value in each.items()} for each in results]

    def part(batch):
        """A function of a device's number: its equal part of this process's batch."""
        size = len(batch["labels"]) // machines.local
        return lambda i: {name: tf.constant(value[i * size : (i + 1) * size]) for name, value in batch.items()}

    return lambda batches: steps([machines.spread(part(batch)) for batch in batches])


def make_evaluation_step(model: Classifier) -> Callable:
    """A function that takes a batch from `input_data` and returns (logits, the total loss summed over the batch)."""

    @tf.function(reduce_retracing=True)
    def step(batch):
        outputs = model(batch["images"], training=False)
        costs = model.costs(outputs, batch["images"], batch["labels"], batch.get("reconstruction_targets"))
        return outputs["logits"], costs["total"] * ops.cast(ops.shape(batch["labels"])[0], "float32")

    return step


def read_metrics(pending: dict[int, dict], folder: Path) -> dict[int, dict[str, float]]:
    """The metrics of steps, by step, as numbers; waits for the device on which they are until then.

    UserError: the loss is not finite; `folder`, which has the run's checkpoints, is for the advice.
    """
    names = list(next(iter(pending.values())))
    rows = tf.stack([tf.stack([metrics[name] for name in names]) for metrics in pending.values()]).numpy().tolist()
    read = {step: dict(zip(names, row, strict=True)) for step, row in zip(pending, rows, strict=True)}
    for step, metrics in read.items():
        if not math.isfinite(metrics["total"]):
            advice = last_good(folder, step - 2)  # the weights after step - 1 gave this loss
            raise UserError(f"The loss became {metrics['total']} at step {step}, which was not saved. {advice}")
    return read
