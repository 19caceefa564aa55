"""Chooses the devices of a process, and connects them, and the machines of a job, by a strategy."""

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from input_data.progress import say
from runner.config import conflicts, in_words
from runner.flags import UserError, one_line

LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
        tf.errors.InternalError)  # fmt: skip


@functools.cache  # a process chooses its devices once, however many jobs it runs
def show_devices(gpus: str | None, gpu_memory: int | None, most: int | None = None) -> None:
    """Restricts TensorFlow to the given GPUs, and lets their memory grow as needed or limits it.

    Must run before TensorFlow first uses a device.

    Args:
        gpus: "cpu", numbers such as "0,1", or None for all.
        gpu_memory: MiB of each GPU that this process may take; None: as needed.
        most: the number of GPUs to use at most; None: any.
    """
    visible = devices = tf.config.list_physical_devices("GPU")
    if not devices and gpus != "cpu" and Path("/proc/driver/nvidia/version").exists():
        say("This machine has an Nvidia GPU that TensorFlow cannot use. It needs CUDA: pip install '.[gpu]'")
    if gpus is not None:
        by_number = {str(number): device for number, device in enumerate(devices)}
        numbers = [] if gpus == "cpu" else gpus.split(",")
        if not set(numbers) <= set(by_number) or len(set(numbers)) < len(numbers):
            choice = {0: "cpu", 1: "cpu or 0"}.get(len(devices), f"cpu or numbers 0 to {len(devices) - 1}")
            raise UserError(
                f"--gpus takes {choice}: this machine has {len(devices) or 'no'} GPU{'' if len(devices) == 1 else 's'}"
                f"{', each named once' if devices else ''}. Received: {gpus}"
            )
        visible = [by_number[number] for number in numbers]
    visible = visible[:most]
    tf.config.set_visible_devices(visible, "GPU")
    for gpu in visible:
        if gpu_memory:
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=gpu_memory)
            tf.config.set_logical_device_configuration(gpu, [limit])
        else:
            tf.config.experimental.set_memory_growth(gpu, True)


class Machines:
    """The devices and machines that share a training.

    Attributes:
        strategy: TensorFlow's strategy for them.
        names: the names of the machines, the chief's first.
        number: the number of this machine; 0 is the chief, which saves and reports.
    """

    def __init__(self, strategy: tf.distribute.Strategy, names: tuple[str, ...] = ("this machine",), number: int = 0):
        self.strategy, self.names, self.number = strategy, names, number
        self._gather = tf.function(lambda value: strategy.gather(value, axis=0), reduce_retracing=True)

    @property
    def worker(self) -> tuple[int, int]:
        """(number of this machine, number of machines)."""
        return self.number, len(self.names)

    @property
    def local(self) -> int:
        """Number of devices of each machine."""
        return self.strategy.num_replicas_in_sync // len(self.names)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """The numbers, int32 [n], of all machines one after another. All machines must call it equally often."""
        if len(self.names) == 1:
            return values
        try:
            return self._gather(self._spread(values, values[:0])).numpy()
        except LOST as error:
            raise lost(error) from None

    def check_same(self, facts: dict[str, Any]) -> None:
        """Raises UserError on each machine, naming what differs and where, unless all have the same facts."""
        text = np.frombuffer(json.dumps(facts, default=str).encode() + b"\n", np.uint8)
        chief, *others = map(json.loads, bytes(self.gather(text.astype(np.int32)).astype(np.uint8)).splitlines())
        for number, theirs in enumerate(others, start=1):
            template = f"{{}} is {{}} on {self.names[0]} and {{}} on {self.names[number]}"
            if different := conflicts(chief, theirs, list(chief)):
                raise UserError(
                    f"The machines of the job differ: {in_words(different, template)}. "
                    "Give all of them the same command, data and versions."
                )

    def share(self, start: int, variables: dict[str, Any]) -> int:
        """Gives every machine the chief's step and weights, by a sum to which the others add zeros.

        Args:
            start: the step that this machine would begin at.
            variables: by name; those of the other machines are overwritten.

        Returns:
            The chief's step.
        """
        if len(self.names) == 1:
            return start
        arrays = [np.asarray(variable.numpy()) for variable in variables.values()]
        content = b"".join([np.int64(start).tobytes(), *(array.tobytes() for array in arrays)])
        bits = np.frombuffer(content + bytes(-len(content) % 4), np.int32)  # whole numbers: the sum is exact
        try:
            mine = self._spread(bits if self.number == 0 else np.zeros_like(bits), np.zeros_like(bits))
            received = self.strategy.reduce("SUM", mine, axis=None).numpy().tobytes()
        except LOST as error:
            raise lost(error) from None
        place = 8
        for variable, array in zip(variables.values(), arrays, strict=True):
            variable.assign(np.frombuffer(received, array.dtype, array.size, place).reshape(array.shape))
            place += array.nbytes
        return int(np.frombuffer(received, np.int64, 1)[0])

    def _spread(self, value: np.ndarray, others: np.ndarray):
        """A value for the first device of this machine, and another for the others."""

        def part(context):
            return tf.constant(others if context.replica_id_in_sync_group % self.local else value)

        return self.strategy.experimental_distribute_values_from_function(part)


def lost(error: Exception) -> ConnectionError:
    """The error for a machine that has stopped."""
    return ConnectionError(
        f"Another machine of the job stopped answering ({type(error).__name__}). "
        "Start the same command on all machines again: it resumes from the last checkpoint."
    )


@functools.cache  # several trials share the devices of the process
def connect(num_gpus: int) -> Machines:
    """The devices for `--num_gpus`, and the machines in TF_CONFIG if it names several.

    Without GPUs the devices are the logical CPUs, so that the same code can be tried anywhere.
    """
    names, number = _read_tf_config(os.environ.get("TF_CONFIG", ""))
    if len(names) > 1:
        say(f"This machine is {names[number]}. Waiting until all of these run: {', '.join(names)}")
        try:
            return Machines(tf.distribute.MultiWorkerMirroredStrategy(), names, number)
        except tf.errors.OpError as error:
            raise ConnectionError(
                f"The machines of the job did not connect: {one_line(error.message)[:300]} Give all of them the same "
                "cluster in TF_CONFIG, each its own index, and a port that is free."
            ) from None
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if num_gpus > 1 and num_gpus > len(devices):
        raise UserError(f"--num_gpus={num_gpus} needs {num_gpus} devices. This machine has {len(devices)} {kind}(s).")
    one = num_gpus == 1
    return Machines(tf.distribute.get_strategy() if one else tf.distribute.MirroredStrategy(devices[:num_gpus]))


def machines_in_tf_config() -> int:
    """The number of machines in TF_CONFIG; 1 without it."""
    return len(_read_tf_config(os.environ.get("TF_CONFIG", ""))[0])


def _read_tf_config(text: str) -> tuple[tuple[str, ...], int]:
    """The names of the machines, the chief's first, and the number of this one."""
    try:
        config = json.loads(text.strip() or "{}")
        cluster, task = config.get("cluster") or {}, config.get("task") or {}
        if not cluster:
            return ("this machine",), 0
        names = [
            f"{kind} {i} ({address})" for kind in ("chief", "worker") for i, address in enumerate(cluster.get(kind, ()))
        ]
        this = f"{task['type']} {int(task['index'])} ("
        return tuple(names), next(number for number, name in enumerate(names) if name.startswith(this))
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError):
        raise UserError(
            'TF_CONFIG should be JSON like {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", '
            f'"index": 0}}}}. Received: {text[:500]}'
        ) from None


def in_use(machines: Machines) -> str:
    """The devices that train, in words."""
    gpus = tf.config.get_visible_devices("GPU")[: machines.local]
    names = [f"{gpu.name.split(':', 1)[1]} ({tf.config.experimental.get_device_details(gpu).get('device_name')})"
             for gpu in gpus]  # fmt: skip
    shared = f" on each of {len(machines.names)} machines" if len(machines.names) > 1 else ""
    return (", ".join(names) or f"{machines.local} CPU device{'s' if machines.local > 1 else ''}") + shared
