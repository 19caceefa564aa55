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
    """A function that trains on a batch from `input_data`.

    The network and the optimizer, built on its variables, were made under the machines' strategy. With `jit`, XLA
    compiles the forward and backward pass. The function returns a dict of float32 scalars: classification,
    reconstruction, total, and the counts correct and almost.
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
        metrics |= {name: ops.sum(ops.cast(hit, "float32")) for name, hit in (("correct", correct), ("almost", almost))}
        return tape.gradient(scaled, [v.value for v in model.trainable_variables]), metrics

    if jit or replicas == 1:  # XLA compiles only this inner function
        gradients = tf.function(gradients, jit_compile=jit)

    def train(batch):
        grads, metrics = gradients(batch)
        optimizer.apply(grads, model.trainable_variables)
        return metrics

    if replicas == 1:
        return tf.function(train, reduce_retracing=True)

    @tf.function(reduce_retracing=True)
    def step(batch):
        metrics = strategy.run(train, args=(batch,))
        return {name: strategy.reduce("SUM", value, axis=None) for name, value in metrics.items()}

    def part(batch):
        """A function of a device's number: its equal part of this process's batch."""
        size = len(batch["labels"]) // machines.local
        return lambda i: {name: tf.constant(value[i * size : (i + 1) * size]) for name, value in batch.items()}

    return lambda batch: step(machines.spread(part(batch)))


def make_evaluation_step(model: Classifier) -> Callable:
    """A function that takes a batch from `input_data` and returns (logits, the total loss summed over the batch)."""

    @tf.function(reduce_retracing=True)
    def step(batch):
        outputs = model(batch["images"], training=False)
        costs = model.costs(outputs, batch["images"], batch["labels"], batch.get("reconstruction_targets"))
        return outputs["logits"], costs["total"] * ops.cast(ops.shape(batch["labels"])[0], "float32")

    return step


def read_metrics(pending: dict[int, dict], folder: Path) -> dict[str, float]:
    """The metrics of the last of some steps as numbers; waits for the device on which they are until then.

    UserError: the loss of one is not finite; `folder`, which has the run's checkpoints, is for the advice.
    """
    for step, loss in zip(pending, tf.stack([each["total"] for each in pending.values()]).numpy(), strict=True):
        if not math.isfinite(loss):
            advice = last_good(folder, step - 2)  # the weights after step - 1 gave this loss
            raise UserError(f"The loss became {loss} at step {step}, which was not saved. {advice}")
    last = pending[max(pending)]
    return dict(zip(last, tf.stack(list(last.values())).numpy().tolist(), strict=True))
