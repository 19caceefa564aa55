"""Computes the networks' 2-D convolutions directly or by short Fourier transforms, whichever is faster."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import keras
from keras import ops

from capsules.backend import NOMINAL_BATCH, is_tensorflow_on_cpu
from capsules.patches import are_small, rectified_phases
from capsules.short_dft import DIRECT_COST, convolve_phases, layout_of, pair, short_dft_convolution
from capsules.toom_cook import Pair

Method = Literal["auto", "direct", "short_dft"]
_method: Method = "auto"


@contextmanager
def convolution_method(method: Method) -> Iterator[None]:
    """Sets how every `convolve` that is traced or run inside the block computes its convolution.

    Args:
        method: "auto" follows `minimum_batch`; "direct" and "short_dft" are used whatever the shapes are. Exported
            networks are traced with "direct", so that other runtimes see an ordinary convolution.

    Raises:
        ValueError: the method is unknown.
    """
    global _method
    if method not in ("auto", "direct", "short_dft"):
        raise ValueError(f"A convolution is computed by 'auto', 'direct' or 'short_dft'. Received: {method!r}")
    before, _method = _method, method
    try:
        yield
    finally:
        _method = before


def convolve(inputs: Any, kernel: Any, strides: int | Pair = 1, padding: str = "valid") -> Any:
    """The 2-D convolution (cross-correlation) of Keras, channels last, by whichever method is faster.

    Args:
        inputs: [batch, rows, columns, channels].
        kernel: [kernel rows, kernel columns, channels, filters], in the dtype of `inputs`.
        strides: step of the kernel, one number or (rows, columns).
        padding: "valid" or "same".

    Returns:
        [batch, output rows, output columns, filters].
    """
    strides = pair(strides)

    def direct() -> Any:
        return ops.conv(inputs, kernel, strides, padding, data_format="channels_last")

    def short_dft() -> Any:
        return short_dft_convolution(inputs, kernel, strides, padding)

    return _faster(direct, short_dft, inputs, inputs.shape[1:3], kernel, strides, padding)


def convolve_after(
    first: keras.layers.Conv2D, images: Any, kernel: Any, strides: int | Pair = 1, padding: str = "valid"
) -> Any:
    """`convolve(first(images), kernel, strides, padding)`, with both convolutions in one go where that is faster.

    Args:
        first: a layer that is built.
        images: [batch, rows, columns, channels].
        kernel, strides, padding: see `convolve`.

    Returns:
        [batch, output rows, output columns, filters].
    """
    strides = pair(strides)

    def one_by_one() -> Any:
        return convolve(first(images), kernel, strides, padding)

    def in_one_go() -> Any:
        layout = layout_of(size, tuple(kernel.shape), strides, "valid", images.shape[0] or NOMINAL_BATCH)
        phases = rectified_phases(ops.cast(images, kernel.dtype), first.kernel, first.bias, layout)
        return convolve_phases(phases, kernel, layout)

    if padding.lower() != "valid" or not are_small(first):
        return one_by_one()
    size = first.compute_output_shape(images.shape)[1:3]
    return _faster(one_by_one, in_one_go, images, size, kernel, strides, padding)


def _faster(
    direct: Callable, short_dft: Callable, inputs: Any, size: Pair, kernel: Any, strides: Pair, padding: str
) -> Any:
    """Calls that of two functions which is faster for a kernel on feature maps of a size, made from `inputs`."""
    if isinstance(inputs, keras.KerasTensor) or isinstance(kernel, keras.KerasTensor) or _method == "direct":
        return direct()
    if _method == "short_dft":
        return short_dft()
    if keras.backend.standardize_dtype(kernel.dtype) != "float32" or not _has_fast_products():
        return direct()
    batch = inputs.shape[0]
    needed = minimum_batch(size, kernel.shape, strides, padding)
    if batch is None and math.isfinite(needed):  # TensorFlow's graphs may learn the batch only when they run
        return ops.cond(ops.shape(inputs)[0] >= math.ceil(needed), short_dft, direct)
    return short_dft() if batch is not None and batch >= needed else direct()


def minimum_batch(size: Pair, kernel_shape: tuple[int, ...], strides: int | Pair = 1, padding: str = "valid") -> float:
    """The batch size from which the short transforms are faster than the direct convolution; infinity if never.

    The transforms need fewer multiplications per image, but the kernel must be transformed at each step, which costs
    the same for one image as for a thousand. The rule holds for float32 in TensorFlow and JAX on a CPU; elsewhere
    `convolve` is direct. In half precision the transforms would lose too many digits.

    Args:
        size: (rows, columns) of the inputs.
        kernel_shape: [kernel rows, kernel columns, channels, filters].
        strides: step of the kernel.
        padding: "valid" or "same".
    """
    layout = layout_of(tuple(size), tuple(kernel_shape), pair(strides), padding.lower(), NOMINAL_BATCH)
    direct = DIRECT_COST * math.prod(layout.outputs) * math.prod(kernel_shape)
    saving = direct - layout.image_cost
    return layout.kernel_cost / saving if saving > 0 else math.inf


def transformed_numbers(
    batch: int, size: Pair, kernel_shape: tuple[int, ...], strides: int | Pair = 1, padding: str = "valid"
) -> int:
    """How many numbers a float32 `convolve` has in its transformed inputs, kernel and outputs; 0 if it is direct.

    Args:
        batch: number of images.
        size, kernel_shape, strides, padding: see `minimum_batch`.
    """
    if _method == "direct" or not _has_fast_products() or batch < minimum_batch(size, kernel_shape, strides, padding):
        return 0
    return layout_of(tuple(size), tuple(kernel_shape), pair(strides), padding.lower(), batch).numbers(batch)


def _has_fast_products() -> bool:
    """Whether matrix products run at the speed of direct convolutions.

    They do in TensorFlow and JAX on a CPU. PyTorch's run at less than half that speed, and accelerators have direct
    convolutions that nothing here can beat.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "cpu"
    return is_tensorflow_on_cpu()
