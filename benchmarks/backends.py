"""What `train_step.py` needs of each backend that Keras does not give: bare gradients, waiting, precision, memory."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import ops

from capsules.convolution import convolution_method, convolve

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


def seconds(run: Callable) -> float:
    """How long a call of `run` takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def train_step(model, images: np.ndarray, labels: np.ndarray) -> Callable:
    """A function that trains one step on this batch: the runner's own on TensorFlow, Keras' elsewhere."""
    from models.optimizer import make_optimizer

    optimizer = make_optimizer(model.hparams, scale_loss=keras.config.dtype_policy().name == "mixed_float16")
    if BACKEND == "tensorflow":
        import tensorflow as tf

        from runner.devices import Machines
        from runner.steps import make_train_step

        optimizer.build(model.trainable_variables)
        step = make_train_step(model, optimizer, Machines(tf.distribute.get_strategy()))
        batch = {"images": tf.constant(images), "labels": tf.constant(labels)}
        return lambda: step([batch])[0]["total"].numpy()
    model.compile(optimizer)
    return lambda: model.train_on_batch(images, labels)


def convolutions_alone(convolutions: list[dict], batch: int, method: str = "direct", backward: bool = True) -> Callable:
    """A function that computes bare convolutions and the gradients of their kernels and inputs.

    Inputs of three channels or fewer are images, which need no gradient.

    Args:
        convolutions: of each its "kernel", the "shape" of its input without the batch, "strides" and "padding".
        batch: images.
        method: of `capsules.convolution.convolution_method`.
        backward: whether to compute gradients at all.
    """
    dtype = keras.config.dtype_policy().compute_dtype

    def random(shape):
        return ops.cast(np.random.RandomState(1).standard_normal(shape).astype(np.float32), dtype)

    inputs = [random((batch, *convolution["shape"])) for convolution in convolutions]
    is_image = [convolution["shape"][-1] <= 3 for convolution in convolutions]
    images = [tensor for tensor, image in zip(inputs, is_image, strict=True) if image]
    features = [tensor for tensor, image in zip(inputs, is_image, strict=True) if not image]
    # Copies: JAX gives a variable's memory away with each training step.
    kernels = [ops.cast(ops.convert_to_numpy(convolution["kernel"]), dtype) for convolution in convolutions]

    def forward(kernels, features):
        waiting_images, waiting_features = iter(images), iter(features)
        with convolution_method(method):
            return [
                convolve(
                    next(waiting_images if image else waiting_features),
                    kernel,
                    convolution["strides"],
                    convolution["padding"],
                )
                for image, kernel, convolution in zip(is_image, kernels, convolutions, strict=True)
            ]

    changes = [random(tuple(output.shape)) for output in forward(kernels, features)] if backward else []
    run = _compiled(forward, changes)
    return lambda: wait(run(kernels, features))


def _compiled(forward: Callable, changes: list) -> Callable:
    """`forward(kernels, features)` and, with the outputs' gradients `changes`, its gradients, compiled."""
    if BACKEND == "jax":
        import jax

        if not changes:
            return jax.jit(forward)

        @jax.jit
        def run(kernels, features):
            outputs, pull_back = jax.vjp(forward, kernels, features)
            return outputs, pull_back(changes)

    elif BACKEND == "torch":
        import torch

        def run(kernels, features):
            if not changes:
                with torch.no_grad():
                    return forward(kernels, features)
            leaves = [tensor.detach().requires_grad_() for tensor in (*kernels, *features)]
            outputs = forward(leaves[: len(kernels)], leaves[len(kernels) :])
            return outputs, torch.autograd.grad(outputs, leaves, changes)

    else:
        import tensorflow as tf

        @tf.function
        def run(kernels, features):
            if not changes:
                return forward(kernels, features)
            with tf.GradientTape() as tape:
                tape.watch((kernels, features))
                outputs = forward(kernels, features)
            return outputs, tape.gradient(outputs, (kernels, features), changes)

    return run


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
