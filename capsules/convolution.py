"""2-D convolutions with large kernels by short Fourier transforms, some points of which are moved to the real axis.

Neighbouring outputs of a large kernel share most of their inputs. Under a Fourier transform, a convolution becomes one
product for each frequency, which shares that work. The maps of a capsule network are so small that plain matrix
products compute the transform, at the full speed of a processor.

1. **Phases.** A convolution of stride s is a sum of s² convolutions of stride 1, one for each remainder (r, q) of the
   positions: y[p] = Σ_r Σ_i x[s·(p + i) + r] · w[s·i + r]. So the s² phases become channels, and the kernel has
   T = ⌈k/s⌉ taps in each direction.
2. **Transform.** In each direction, M outputs need N = M + T − 1 inputs. The taps are the coefficients of a polynomial,
   and W are its values at N points α: W = Σ_i w[i] · αⁱ. There are X, linear in the inputs, such that the outputs are
   y[p] = Σ_α αᵖ · X · W (Toom and Cook). If the points are the N-th roots of 1, this is the Fourier transform. In two
   directions there are N² points, and each factor is a matrix over the channels: for each point, [batch, channels]
   times [channels, filters].
3. **Real numbers.** Points come in pairs of conjugates, of which one is kept. A product of complex matrices takes three
   real ones (Gauss): with X = a + ib and W = c + id, P1 = (a + b)c, P2 = a(d − c) and P3 = b(c + d) give
   Re Z = P1 − P3 and Im Z = P1 + P2. A real point takes a single product. A Fourier transform has one or two real
   points in each direction, and here there are up to six, see `_points`.

The rest is linear: y = A · [(G · w) ⊙ (B · x)], with three small constant matrices, where ⊙ is one matrix product for
each of the R real numbers that stand for the points. For the primary capsules of the paper (9×9 kernel, stride 2, 20×20
inputs, 6×6 outputs) N is 10 and R is 132: 5.5 times fewer multiplications than in the direct convolution. Larger maps
are cut into tiles of M×M outputs. The result differs by rounding only, about 1e-6 of the largest value in float32.

Sources: Mathieu, Henaff, LeCun, "Fast Training of Convolutional Networks through FFTs", ICLR 2014 (arXiv:1312.5851),
for the products of frequencies; Winograd, "Arithmetic Complexity of Computations", SIAM 1980, for short transforms as
constant matrices, for other points and for the product of complex numbers.
"""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from capsules.ops import check_floats, choice, runs_on_cpu, sides

Pair = tuple[int, ...]  # (rows, columns)
_METHODS = ("auto", "direct", "short_dft")
_method = "auto"

_LENGTH = 14  # points of a transform, for kernels of up to 11 taps: a longer one has a larger transformed kernel
_LONGEST = 18  # points of any transform: longer ones lose accuracy
# Costs in multiplications of the products, fitted to benchmarks/results/convolution_cpu.txt: a direct multiplication, a
# transformed number of an image, and one of the kernel, which is made anew in each step.
_DIRECT, _NUMBER, _KERNEL_NUMBER = 1.25, 40.0, 60.0
_WORTH = 0.3  # of the direct cost: above it, as with 3x3 kernels, moving the numbers takes longer than what is saved


@contextmanager
def convolution_method(method: str) -> Iterator[None]:
    """Sets how every `convolve` that is traced or run inside the block computes its convolution.

    "auto" follows `minimum_batch`; "direct" and "short_dft" are used whatever the shapes are. Exported networks are
    traced with "direct", so that other runtimes see an ordinary convolution.
    """
    global _method
    before, _method = _method, choice("convolution_method: method", method, _METHODS)
    try:
        yield
    finally:
        _method = before


@keras.saving.register_keras_serializable("capsules")
class ShortDFTConv2D(keras.layers.Conv2D):
    """Keras' 2-D convolution, computed by short Fourier transforms where those are faster.

    Arguments, weights and results are those of `keras.layers.Conv2D` (to 3e-6 of the largest value). The transforms are
    used for float32 on a CPU with TensorFlow or JAX, from `minimum_batch` images on; see `convolution_method`.

    Example:
        >>> tuple(ShortDFTConv2D(64, 9, strides=2)(keras.random.normal((32, 20, 20, 16))).shape)
        (32, 6, 6, 64)
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if self.data_format != "channels_last" or self.groups != 1 or self.dilation_rate != (1, 1):
            return super().convolution_op(inputs, kernel)
        return convolve(check_floats(self, inputs), kernel, self.strides, self.padding)


def convolve(inputs: Any, kernel: Any, strides: int | Pair = 1, padding: str = "valid") -> Any:
    """The 2-D convolution (cross-correlation) of Keras, channels last, by whichever method is faster.

    From inputs [batch, rows, columns, channels] and a kernel [kernel rows, kernel columns, channels, filters] of the
    same dtype it makes [batch, output rows, output columns, filters]. `strides` is one number or (rows, columns).
    """
    strides, size = sides("strides", strides), tuple(inputs.shape[1:3])

    def direct() -> Any:
        return ops.conv(inputs, kernel, strides, padding, data_format="channels_last")

    def short_dft() -> Any:
        return _convolve(inputs, kernel, layout_of(size, tuple(kernel.shape), strides, padding))

    if isinstance(inputs, keras.KerasTensor) or isinstance(kernel, keras.KerasTensor) or _method == "direct":
        return direct()
    if _method == "short_dft":
        return short_dft()
    if keras.backend.standardize_dtype(kernel.dtype) != "float32" or not runs_on_cpu():
        return direct()  # half precision would lose too many digits; accelerators have fast direct convolutions
    batch, needed = inputs.shape[0], minimum_batch(size, kernel.shape, strides, padding)
    if batch is None and math.isfinite(needed):  # TensorFlow's graphs may learn the batch only when they run
        return ops.cond(ops.shape(inputs)[0] >= math.ceil(needed), short_dft, direct)
    return short_dft() if batch is not None and batch >= needed else direct()


def minimum_batch(size: Pair, kernel_shape: tuple[int, ...], strides: int | Pair = 1, padding: str = "valid") -> float:
    """The batch size from which the short transforms are faster than the direct convolution; infinity if never.

    The transforms need fewer multiplications per image, but the kernel must be transformed at each step, which costs
    the same for one image as for a thousand. `size` is (rows, columns) of the inputs; for the rest see `convolve`.
    """
    if None in size:
        return math.inf
    layout = layout_of(tuple(size), tuple(kernel_shape), sides("strides", strides), padding)
    if max(layout.length) > _LONGEST:
        return math.inf
    width, filters = math.prod(layout.strides) * kernel_shape[2], kernel_shape[3]
    products = real_numbers(layout.length)
    image = math.prod(layout.tiles) * products * (width * filters + _NUMBER * (width + filters))
    direct = _DIRECT * math.prod(layout.outputs) * math.prod(kernel_shape)
    return _KERNEL_NUMBER * products * width * filters / (direct - image) if image < _WORTH * direct else math.inf


@dataclass(frozen=True)
class Layout:
    """How the outputs are cut into tiles. All pairs are (rows, columns)."""

    outputs: Pair  # size of the whole output
    strides: Pair  # step of the kernel
    before: Pair  # padding before the first input
    taps: Pair  # of the kernel in one phase, T
    tile: Pair  # outputs per tile, M
    tiles: Pair  # number of tiles
    length: Pair  # of the transforms, N
    points: Pair  # rows and columns of all tiles together, in each phase of the inputs


@functools.lru_cache(maxsize=256)
def layout_of(
    size: Pair, kernel_shape: tuple[int, ...], strides: Pair, padding: str, tile: Pair | None = None
) -> Layout:
    """The layout for a convolution, see `minimum_batch`; the tile is the largest of equal ones, if none is given."""
    directions = []
    for n, k, s, m in zip(size, kernel_shape[:2], strides, tile or (None, None), strict=True):
        outputs = -(-n // s) if padding.lower() == "same" else (n - k) // s + 1
        before = max((outputs - 1) * s + k - n, 0) // 2 if padding.lower() == "same" else 0
        taps = -(-k // s)
        limit = min(max(_LENGTH, taps + 3), max(_LONGEST, taps)) + 1 - taps  # outputs of a tile
        m = min(m or -(-outputs // -(-outputs // limit)), outputs)
        tiles, length = -(-outputs // m), m + taps - 1
        directions.append((outputs, s, before, taps, m, tiles, length, (tiles - 1) * m + length))
    return Layout(*zip(*directions, strict=True))


def _convolve(inputs: Any, kernel: Any, layout: Layout) -> Any:
    """The convolution by short Fourier transforms, whatever the batch and the device are."""
    _, _, channels, filters = kernel.shape
    to_inputs, to_kernel, to_outputs = (
        ops.convert_to_tensor(matrix, inputs.dtype) for matrix in matrices(layout.length, layout.taps, layout.tile)
    )
    count, width = to_inputs.shape[0], math.prod(layout.strides) * channels
    inputs_at = ops.matmul(to_inputs, _tiles_of_phases(inputs, layout))
    inputs_at = ops.reshape(inputs_at, (count, -1, width))  # [R, tiles·batch, phases·channels]
    if keras.backend.backend() == "tensorflow":  # what the inputs needed is free again before the kernel is transformed
        import tensorflow as tf

        with tf.control_dependencies([inputs_at]):
            kernel = tf.identity(kernel)
    (rows, columns), (row_step, column_step) = layout.taps, layout.strides
    kernel = _fit(kernel, (0, 0), (rows * row_step, columns * column_step), first=0)
    kernel = ops.reshape(kernel, (rows, row_step, columns, column_step, channels * filters))
    kernel = ops.transpose(kernel, (0, 2, 1, 3, 4))  # [rows, columns, row phases, column phases, channels·filters]
    kernel_at = ops.matmul(to_kernel, ops.reshape(kernel, (rows * columns, -1)))
    kernel_at = ops.reshape(kernel_at, (count, width, filters))
    products = ops.matmul(inputs_at, kernel_at)  # [R, tiles·batch, filters]
    outputs = ops.matmul(to_outputs, ops.reshape(products, (count, -1)))
    (tile_rows, tile_columns), (down, across) = layout.tile, layout.tiles
    outputs = ops.reshape(outputs, (tile_rows, tile_columns, down, across, -1, filters))
    outputs = ops.transpose(outputs, (4, 2, 0, 3, 1, 5))  # [batch, down, tile rows, across, tile columns, filters]
    outputs = ops.reshape(outputs, (-1, down * tile_rows, across * tile_columns, filters))
    return _fit(outputs, (0, 0), layout.outputs)


def _tiles_of_phases(inputs: Any, layout: Layout) -> Any:
    """The points of each tile, [points of a tile, tiles·batch·phases·channels]."""
    (rows, columns), (row_step, column_step), (down, across) = layout.points, layout.strides, layout.tiles
    inputs = _fit(inputs, layout.before, (rows * row_step, columns * column_step))
    points = ops.reshape(inputs, (-1, rows, row_step, columns, column_step * inputs.shape[3]))
    points = ops.transpose(points, (1, 3, 0, 2, 4))  # [rows, columns, batch, row phases, column phases·channels]
    if layout.tiles != (1, 1):
        (tile_rows, tile_columns), (length, width) = layout.tile, layout.length
        points = _overlapping(ops.reshape(points, (rows, -1)), down, tile_rows, length)  # [down, length, rest]
        points = ops.transpose(ops.reshape(points, (down * length, columns, -1)), (1, 0, 2))
        points = _overlapping(ops.reshape(points, (columns, -1)), across, tile_columns, width)
        points = ops.reshape(points, (across, width, down, length, -1))
        points = ops.transpose(points, (3, 1, 2, 0, 4))  # [length, width, down, across, batch·phases·channels]
    return ops.reshape(points, (math.prod(layout.length), -1))


def _overlapping(points: Any, tiles: int, tile: int, length: int) -> Any:
    """Overlapping tiles of `length` points that start `tile` points apart: [points, rest] to [tiles, length, rest].

    They are put together from pieces, so that a gradient copies pieces too. That of a slice would fill the rest of its
    array with zeros, which takes several times as long.
    """
    starts = range(0, tiles * tile, tile)
    bounds = sorted({start + end for start in starts for end in (0, length)})
    pieces = ops.split(points, bounds[1:-1], axis=0) if tiles > 1 else [points]
    parts = list(zip(bounds[:-1], pieces, strict=True))
    chosen = [piece for start in starts for bound, piece in parts if start <= bound < start + length]
    return ops.reshape(ops.concatenate(chosen, axis=0), (tiles, length, -1))


def _fit(tensor: Any, before: Pair, size: Pair, first: int = 1) -> Any:
    """Brings the two axes from `first` on to `size`: adds `before` zeros in front, then pads or crops at the end."""
    ends = [total - front for total, front in zip(size, before, strict=True)]
    now = tensor.shape[first : first + 2]
    if any(end < length for end, length in zip(ends, now, strict=True)):
        tensor = tensor[(slice(None),) * first + tuple(slice(0, end) for end in ends)]
    after = [max(end - length, 0) for end, length in zip(ends, now, strict=True)]
    widths = [(0, 0)] * first + list(zip(before, after, strict=True)) + [(0, 0)] * (len(tensor.shape) - first - 2)
    return ops.pad(tensor, widths) if any(map(any, widths)) else tensor


def _points(length: int) -> tuple[np.ndarray, np.ndarray]:
    """The points of a transform in one direction: the real ones, and those in the upper half plane.

    The points are 0, ∞ and the roots of −1 of the order n = `length` − 2, but the two roots next to 1 are replaced by
    the real numbers ρ and 1/ρ, and those next to −1 by −ρ and −1/ρ (if n is odd, −1 is a root and stays). With
    ρ = exp(2/n) the points remain so far apart that float32's error is about that of a Fourier transform. Transforms of
    fewer than 7 points have too few roots for this and are Fourier transforms.
    """
    if length < 7:
        return np.array([1.0, -1.0][: 2 - length % 2]), np.exp(2j * np.pi * np.arange(1, (length + 1) // 2) / length)
    order = length - 2
    radius = math.exp(2 / order)
    real = [0, math.inf, radius, 1 / radius] + ([-1] if length % 2 else [-radius, -1 / radius])
    return np.array(real), np.exp(1j * np.pi * np.arange(3, order - 1, 2) / order)


def real_numbers(length: Pair) -> int:
    """R: one product for each real point, three for each pair of conjugates."""
    alone = math.prod(len(_points(n)[0]) for n in length)
    return alone + 3 * (math.prod(length) - alone) // 2


@functools.lru_cache(maxsize=64)
def matrices(length: Pair, taps: Pair, tile: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B [R, inputs of a tile], G [R, taps] and A [outputs of a tile, R] of the algorithm above, in float64."""
    planes = []
    of_rows, of_columns = (_matrices_of_line(*sizes) for sizes in zip(length, taps, tile, strict=True))
    for (real_rows, rows), (real_columns, columns) in zip(of_rows, of_columns, strict=True):
        alone = _products(real_rows, real_columns)
        pairs = [(real_rows, columns), (rows, real_columns), (rows, columns), (rows, columns.conj())]
        planes.append((alone, np.concatenate([_products(*pair) for pair in pairs])))
    (alone_inputs, inputs), (alone_kernel, kernel), (alone_outputs, outputs) = planes
    a, b, c, d = inputs.real, inputs.imag, kernel.real, kernel.imag
    cosine, sine = outputs.real, outputs.imag
    # Re Z·cos − Im Z·sin = P1·(cos − sin) − P2·sin − P3·cos, twice: for the point and for its conjugate.
    inverse = np.concatenate([alone_outputs, 2 * (cosine - sine), -2 * sine, -2 * cosine])
    return np.concatenate([alone_inputs, a + b, a, b]), np.concatenate([alone_kernel, c, d - c, c + d]), inverse.T


def _products(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """All products of a row point's values with a column point's, [row points · column points, rows · columns]."""
    return np.einsum("pr,qc->pqrc", rows, columns).reshape(-1, rows.shape[1] * columns.shape[1])


def _matrices_of_line(length: int, taps: int, tile: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """B, G and Aᵀ of one direction, each as (rows of the real points, rows of the points of the upper half plane)."""
    real, upper = _points(length)
    every = np.concatenate([real, upper, upper.conj()])

    def powers(count: int) -> np.ndarray:
        """The powers 0 to count − 1 of each point. At ∞ only the highest counts, as in the limit of p(x) / xᵈ."""
        finite = np.where(np.isinf(every), 0, every)[:, None] ** np.arange(count)
        return np.where(np.isinf(every)[:, None], np.arange(count) == count - 1, finite)

    kernel, outputs = powers(taps), powers(tile)
    kernel_size, output_size = (np.linalg.norm(rows, axis=1, keepdims=True) for rows in (kernel, outputs))
    inputs = np.linalg.inv(powers(length)).T * kernel_size * output_size  # so that all three have similar sizes
    all_three = inputs, kernel / kernel_size, outputs / output_size
    return [(matrix[: len(real)].real, matrix[len(real) : len(real) + len(upper)]) for matrix in all_three]
