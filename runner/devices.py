"""Chooses the devices of a process, and connects them, and the machines of a job, by a strategy."""

import functools
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from input_data.progress import say
from runner.config import conflicts
from runner.flags import UserError, one_line

_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
         tf.errors.InternalError)  # fmt: skip


@functools.cache  # a process chooses its devices once, however many jobs it runs
def show_devices(most: int | None = None) -> None:
    """Makes TensorFlow use GPUs, `most` of them at most, with as much of their memory as is needed.

    Must run before TensorFlow first uses a device. The variable CUDA_VISIBLE_DEVICES chooses among the GPUs.
    """
    devices = tf.config.list_physical_devices("GPU")
    if not devices and "CUDA_VISIBLE_DEVICES" not in os.environ and Path("/proc/driver/nvidia/version").exists():
        say("This machine has an Nvidia GPU that TensorFlow cannot use. It needs CUDA: pip install '.[gpu]'")
    tf.config.set_visible_devices(devices[:most], "GPU")
    for gpu in devices[:most]:
        tf.config.experimental.set_memory_growth(gpu, True)


class Machines:
    """The devices and machines that share a training, by TensorFlow's `strategy` for them.

    `names` are those of the machines, the chief's first, and `number` that of this one: 0 saves and reports.
    """

    def __init__(self, strategy: tf.distribute.Strategy, names: tuple[str, ...] = ("this machine",), number: int = 0):
        self.strategy, self.names, self.number = strategy, names, number
        self._gather = tf.function(lambda value: strategy.gather(value, axis=0), reduce_retracing=True)

    @property
    def local(self) -> int:
        """Number of devices of each machine."""
        return self.strategy.num_replicas_in_sync // len(self.names)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Makes one sentence of TensorFlow's errors when another machine has stopped."""
        try:
            yield
        except _LOST as error:
            if len(self.names) == 1:
                raise
            advice = "Start the same command on all machines again: it resumes from the last checkpoint."
            reason = f"Another machine of the job stopped answering ({type(error).__name__})."
            raise ConnectionError(f"{reason} {advice}") from None

    def gather(self, values: np.ndarray) -> np.ndarray:
        """The numbers, int32 [n], of all machines one after another. All machines must call it equally often."""
        if len(self.names) == 1:
            return values
        with self.together():  # this machine's first device gives its values
            return self._gather(self.spread(lambda device: tf.constant(values if device == 0 else values[:0]))).numpy()

    def leave(self) -> None:
        """Waits until all machines are here, and have heard so: one that ends sooner cuts the others' answer off."""
        self.gather(np.zeros(1, np.int32))
        with suppress(ConnectionError):
            self.gather(np.zeros(1, np.int32))

    def check_same(self, facts: dict[str, Any]) -> None:
        """Raises UserError on each machine, naming what differs and where, unless all have the same facts."""
        text = np.frombuffer(json.dumps(facts, default=str).encode() + b"\n", np.uint8)
        chief, *others = map(json.loads, bytes(self.gather(text.astype(np.int32)).astype(np.uint8)).splitlines())
        for number, theirs in enumerate(others, start=1):
            template = f"{{}} is {{}} on {self.names[0]} and {{}} on {self.names[number]}"
            if words := conflicts(chief, theirs, template):
                self.leave()
                raise UserError(f"The machines differ: {words}. Give all of them the same command, data and versions.")

    def share(self, start: int, variables: list) -> int:
        """Gives every machine the chief's values of the variables, and returns the chief's step."""
        if len(self.names) == 1:
            return start
        for variable in variables:
            value = np.asarray(variable.numpy())
            bits = value.ravel().view(np.int32)
            variable.assign(self.gather(bits)[: len(bits)].view(value.dtype).reshape(value.shape))
        return int(self.gather(np.array([start], np.int32))[0])

    def spread(self, value_of_device):
        """A value for each of this machine's devices, by the device's number."""
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: value_of_device(context.replica_id_in_sync_group % self.local)
        )


@functools.cache  # several trials share the devices of the process
def connect(num_gpus: int) -> Machines:
    """The devices for `--num_gpus`, and the machines in TF_CONFIG if it names several.

    Without GPUs the devices are the logical CPUs, so that the same code can be tried anywhere.
    """
    names, number = _machines_in_tf_config()
    show_devices(num_gpus if len(names) > 1 else None)
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    # Of several machines, the strategy must be made before the logical devices are.
    listed = tf.config.list_physical_devices if len(names) > 1 else tf.config.list_logical_devices
    devices = [device.name for device in listed(kind)]
    if num_gpus > len(devices):
        raise UserError(f"--num_gpus={num_gpus} needs {num_gpus} devices. This machine has {len(devices)} {kind}(s).")
    if len(names) > 1:
        say(f"This machine is {names[number]}. Waiting until all of these run: {', '.join(names)}")
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # TensorFlow took it, and would lose it
            return Machines(strategy, names, number)
        except tf.errors.OpError as error:
            advice = "Give all of them the same cluster in TF_CONFIG, each its own index, and a port that is free."
            reason = f"The machines of the job did not connect: {one_line(error.message)[:300]}"
            raise ConnectionError(f"{reason} {advice}") from None
    if num_gpus == 1:
        return Machines(tf.distribute.get_strategy())
    return Machines(tf.distribute.MirroredStrategy(devices[:num_gpus]))


def _machines_in_tf_config() -> tuple[tuple[str, ...], int]:
    """The names of the machines, the chief's first, and the number of this one."""
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        cluster, this = resolver.cluster_spec(), (resolver.task_type, resolver.task_id)
        tasks = [(kind, i) for kind in ("chief", "worker") if kind in cluster.jobs for i in cluster.task_indices(kind)]
        names = tuple(f"{kind} {i} ({cluster.task_address(kind, i)})" for kind, i in tasks)
        return names or ("this machine",), tasks.index(this) if names else 0
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        example = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
        given = f"{os.environ['TF_CONFIG'][:500]} ({error})"
        raise UserError(f"TF_CONFIG should be JSON like {example}. It is {given}") from None


def in_use(machines: Machines) -> str:
    """The devices that train, in words."""
    details, gpus = tf.config.experimental.get_device_details, tf.config.get_visible_devices("GPU")[: machines.local]
    cores = f"{machines.local} CPU device" + "s" * (machines.local > 1)
    kinds = ", ".join(str(details(gpu).get("device_name")) for gpu in gpus) or cores
    return kinds + (f" on each of {len(machines.names)} machines" if len(machines.names) > 1 else "")
