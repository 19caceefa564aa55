"""Chooses the devices of a process and the strategy by which several of them share the training."""

import tensorflow as tf

from runner import cluster


def choose_devices(gpus: str | None, gpu_memory: int | None) -> None:
    """Restricts TensorFlow to the given GPUs, and lets their memory grow as needed or limits it.

    Must run before TensorFlow first uses a device.

    Args:
        gpus: "cpu", numbers such as "0,1", or None for all.
        gpu_memory: MiB of each GPU that this process may take; None: as needed.

    Raises:
        ValueError: a GPU does not exist.
    """
    devices = tf.config.list_physical_devices("GPU")
    if gpus == "cpu":
        visible = []
    elif gpus is None:
        visible = devices
    else:
        by_number = {str(number): device for number, device in enumerate(devices)}
        numbers = gpus.split(",")
        if not set(numbers) <= set(by_number) or len(set(numbers)) < len(numbers):
            choice = {0: "cpu", 1: "cpu or 0"}.get(len(devices), f"cpu or numbers 0 to {len(devices) - 1}")
            raise ValueError(
                f"--gpus takes {choice}: this machine has {len(devices) or 'no'} GPU{'' if len(devices) == 1 else 's'}"
                f"{', each named once' if devices else ''}. Received: {gpus}"
            )
        visible = [by_number[number] for number in numbers]
    tf.config.set_visible_devices(visible, "GPU")
    for gpu in visible:
        if gpu_memory:
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=gpu_memory)
            tf.config.set_logical_device_configuration(gpu, [limit])
        else:
            tf.config.experimental.set_memory_growth(gpu, True)


def make_strategy(num_gpus: int) -> tf.distribute.Strategy:
    """The strategy for `--num_gpus`, or for several machines if TF_CONFIG names them.

    Without GPUs the devices are the logical CPUs, so that the same code can be tried anywhere.

    Raises:
        ValueError: there are fewer devices than requested, or TF_CONFIG is not as TensorFlow expects.
        ConnectionError: a machine did not connect.
    """
    machines = cluster.join()
    if len(machines.names) > 1:
        with machines.watched():
            return tf.distribute.MultiWorkerMirroredStrategy()
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if num_gpus > 1 and num_gpus > len(devices):
        raise ValueError(f"--num_gpus={num_gpus} needs {num_gpus} devices. This machine has {len(devices)} {kind}(s).")
    if num_gpus == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(devices[:num_gpus])


def worker(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """(number of this machine, number of machines); machine 0 is the chief, which saves and reports."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if not resolver or not resolver.task_type:
        return 0, 1
    jobs = resolver.cluster_spec().as_dict()
    tasks = [(job, index) for job in ("chief", "worker") for index in range(len(jobs.get(job, ())))]
    return tasks.index((resolver.task_type, resolver.task_id)), len(tasks)
