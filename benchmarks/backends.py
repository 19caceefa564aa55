"""What `train_step.py` needs of each backend that Keras does not give: bare gradients, waiting, precision, memory."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()


def set_precision(precision: str) -> None:
    """float32 (exact), tf32 (float32 in which GPUs may round factors to 10 bits), bfloat16 or float16 layers."""
    keras.config.set_dtype_policy(f"mixed_{precision}" if precision.endswith("16") else "float32")
    rounded = precision != "float32"
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(rounded)
    elif BACKEND == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if rounded else "highest")
    else:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = rounded


def wait(results) -> None:
    """Returns when the device has computed `results`."""
    if BACKEND == "jax":
        import jax

        jax.block_until_ready(results)
    elif BACKEND == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
    else:
        import tensorflow as tf

        for result in tf.nest.flatten(results):
            tf.reshape(result, [-1])[0].numpy()


def train_step(model, images: np.ndarray, labels: np.ndarray) -> Callable:
    """A function that trains one step on this batch: the runner's own on TensorFlow, Keras' elsewhere."""
    from models.optimizer import make_optimizer

    optimizer = make_optimizer(model.hparams, scale_loss=keras.config.dtype_policy().name == "mixed_float16")
    if BACKEND == "tensorflow":
        import tensorflow as tf

        from runner.steps import make_train_step

        optimizer.build(model.trainable_variables)
        step = make_train_step(model, optimizer, tf.distribute.get_strategy())
        batch = {"images": tf.constant(images), "labels": tf.constant(labels)}
        return lambda: step([batch])[0]["total"].numpy()
    model.compile(optimizer)
    return lambda: model.train_on_batch(images, labels)


def forward_and_backward(convolutions: list[dict], batch: int) -> Callable:
    """A function that computes bare convolutions and the gradients of their kernels and of all inputs but the images.

    Args:
        convolutions: of each its "kernel", the "shape" of its input without the batch, "strides" and "padding".
        batch: images.
    """
    dtype = keras.config.dtype_policy().compute_dtype

    def random(shape):
        return ops.cast(np.random.RandomState(1).standard_normal(shape).astype(np.float32), dtype)

    inputs = [random((batch, *convolution["shape"])) for convolution in convolutions]
    # Copies: JAX gives a variable's memory away with each training step.
    kernels = [ops.cast(ops.convert_to_numpy(convolution["kernel"]), dtype) for convolution in convolutions]

    def convolve(kernels, later_inputs):
        return [
            ops.conv(image, kernel, convolution["strides"], convolution["padding"], data_format="channels_last")
            for image, kernel, convolution in zip([inputs[0], *later_inputs], kernels, convolutions, strict=True)
        ]

    changes = [random(tuple(output.shape)) for output in convolve(kernels, inputs[1:])]
    if BACKEND == "jax":
        import jax

        @jax.jit
        def run(kernels, later_inputs):
            outputs, pull_back = jax.vjp(convolve, kernels, later_inputs)
            return outputs, pull_back(changes)

    elif BACKEND == "torch":
        import torch

        def run(kernels, later_inputs):
            leaves = [tensor.detach().requires_grad_() for tensor in (*kernels, *later_inputs)]
            outputs = convolve(leaves[: len(kernels)], leaves[len(kernels) :])
            return outputs, torch.autograd.grad(outputs, leaves, changes)

    else:
        import tensorflow as tf

        @tf.function
        def run(kernels, later_inputs):
            with tf.GradientTape() as tape:
                tape.watch((kernels, later_inputs))
                outputs = convolve(kernels, later_inputs)
            return outputs, tape.gradient(outputs, (kernels, later_inputs), changes)

    return lambda: wait(run(kernels, inputs[1:]))


def ceilings(size: int) -> tuple[float, float]:
    """GFLOP/s of a square matrix product and GB/s, read and written, of a copy; the best of five each."""
    dtype = keras.config.dtype_policy().compute_dtype
    matrix = ops.cast(np.random.RandomState(2).uniform(size=(size, size)).astype(np.float32), dtype)
    long = ops.ones((size * size * 4,), "float32")

    def best(run) -> float:
        times = []
        for _ in range(6):
            start = time.perf_counter()
            wait(run())
            times.append(time.perf_counter() - start)
        return min(times[1:])

    product, copy = best(lambda: ops.matmul(matrix, matrix)), best(lambda: ops.add(long, 1.0))
    return 2 * size**3 / product / 1e9, 2 * 4 * size * size * 4 / copy / 1e9


def peak_device_mb() -> float:
    """Most memory that was in use on the accelerator; 0 without one."""
    if BACKEND == "jax":
        import jax

        return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**20
    if BACKEND == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20 if gpus else 0.0


def device_name() -> str:
    """The accelerator, or the processor and its number of cores."""
    if BACKEND == "jax":
        import jax

        if jax.local_devices()[0].platform != "cpu":
            return jax.local_devices()[0].device_kind
    elif BACKEND == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name()
    else:
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_device_details(gpu)["device_name"]
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"
