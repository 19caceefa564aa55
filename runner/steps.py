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


def make_train_step(model: Classifier, optimizer, machines: Machines, jit: bool = False) -> Callable:
    """A function that trains on a list of batches from `input_data`, with one step for each, in one call.

    Args:
        model: the network, made under the strategy of the machines.
        optimizer: built on the network's variables, under the same strategy.
        machines: the devices that share a step.
        jit: compile the forward and backward pass with XLA.

    Returns:
        steps(batches) → for each batch a dict of float32 scalars: classification, reconstruction, total, and the
        counts correct and almost.
    """
    strategy, replicas = machines.strategy, machines.strategy.num_replicas_in_sync

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
        return [
            {name: strategy.reduce("SUM", value, axis=None) for name, value in metrics.items()} for metrics in results
        ]

    return lambda batches: steps([_spread(batch, machines) for batch in batches])


def check_xla(model: Classifier) -> None:
    """Raises UserError if the replicas of a network exchange values within a step, which XLA cannot compile."""
    if any(getattr(layer, "synchronized", False) for layer in model.layers):
        raise UserError(
            f"--xla does not work for {model.name} on several devices: within a step they average the statistics of "
            "its batch normalisation, which XLA cannot compile. Leave --xla out, or train on one device."
        )


def _spread(batch: dict, machines: Machines) -> dict:
    """Gives each of this process's replicas its equal part of the process's batch."""

    def part(context):
        index, size = context.replica_id_in_sync_group % machines.local, len(batch["labels"]) // machines.local
        return {name: tf.constant(value[index * size : (index + 1) * size]) for name, value in batch.items()}

    return machines.strategy.experimental_distribute_values_from_function(part)


def make_evaluation_step(model: Classifier) -> Callable:
    """A function that takes a batch from `input_data` and returns (logits, the total loss summed over the batch)."""

    @tf.function(reduce_retracing=True)
    def step(batch):
        outputs = model(batch["images"], training=False)
        costs = model.costs(outputs, batch["images"], batch["labels"], batch.get("reconstruction_targets"))
        return outputs["logits"], costs["total"] * ops.cast(ops.shape(batch["labels"])[0], "float32")

    return step


class PendingMetrics:
    """The metrics of steps that have not been read yet.

    They stay on the device until they are printed, written or checked, so the program need not wait for the device
    after each step. `LIMIT` bounds for how many steps a bad loss can go unnoticed.

    Args:
        folder: the folder with the run's checkpoints, for the message about a loss that is not finite.
    """

    LIMIT = 100

    def __init__(self, folder: Path):
        self.folder = folder
        self._pending: list[tuple[int, dict]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, step: int, metrics: dict) -> None:
        """Adds the metrics of a step, scalars on the device."""
        self._pending.append((step, metrics))

    def read(self) -> dict[int, dict[str, float]]:
        """The metrics of the steps since the last call, by step. Waits for the device."""
        if not self._pending:
            return {}
        names = list(self._pending[0][1])
        rows = tf.stack([tf.stack([metrics[name] for name in names]) for _, metrics in self._pending]).numpy()
        steps = [step for step, _ in self._pending]
        self._pending = []
        metrics_by_step = {
            step: dict(zip(names, map(float, row), strict=True)) for step, row in zip(steps, rows, strict=True)
        }
        for step, metrics in metrics_by_step.items():
            if not math.isfinite(metrics["total"]):
                raise UserError(
                    f"The loss became {metrics['total']} at step {step}; the run stopped before saving it. "
                    f"{last_good(self.folder, step - 2)}"  # the weights after step - 1 gave this loss
                )
        return metrics_by_step
