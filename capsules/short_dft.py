"""Computes 2-D convolutions by short discrete Fourier transforms, some points of which are moved to the real axis.

A convolution with a large kernel repeats work, since neighbouring outputs share most of their inputs. Under a Fourier
transform a convolution becomes one product for each frequency, which shares that work. The maps of a capsule network
are so small that plain matrix products compute the transform, and those run at the full speed of a processor.

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
   Re Z = P1 − P3 and Im Z = P1 + P2. A real point is its own conjugate and takes a single product. A Fourier transform
   has one or two real points in each direction, and here there are up to six; see `capsules.toom_cook`.

Everything except the products is linear, so with three small constant matrices the whole algorithm is

    y = A · [(G · w) ⊙ (B · x)],

where ⊙ is one matrix product for each of the R real numbers that stand for the points. For the primary capsules of
the paper (9×9 kernel, stride 2, 20×20 inputs, 6×6 outputs) N is 10 and R is 132: 5.5 times fewer multiplications than
in the direct convolution. Larger maps are cut into tiles of M×M outputs each. The result differs from the direct
convolution by rounding only, about 1e-6 of the largest value in float32.

Sources: Mathieu, Henaff, LeCun, "Fast Training of Convolutional Networks through FFTs", ICLR 2014 (arXiv:1312.5851),
for the products of frequencies; Winograd, "Arithmetic Complexity of Computations", SIAM 1980, for short transforms as
constant matrices, for other points and for the product of complex numbers.
"""

import functools
import math
from typing import Any

from keras import ops

from capsules.backend import NOMINAL_BATCH, after
from capsules.toom_cook import Pair, matrices, real_numbers

# Costs in units of one multiplication of the batched products, fitted to `benchmarks/convolution.py` on two cores with
# AVX-512. Direct convolutions run a little below the speed of matrix products. Numbers of tiles and transformed arrays
# are written to memory and read again; those of the kernel several times in a training step, whatever the batch is.
DIRECT_COST = 1.25
_TRANSFORM = 1.0
_NUMBER = 40.0
_KERNEL_NUMBER = 60.0
_LONGEST = 18  # points of a transform: longer ones lose accuracy and need more memory for the transformed kernel


def short_dft_convolution(
    inputs: Any, kernel: Any, strides: int | Pair = 1, padding: str = "valid", tile: int | Pair | None = None
) -> Any:
    """`convolve` by short Fourier transforms, whatever the batch and the device are.

    Args:
        inputs: [batch, rows, columns, channels].
        kernel: [kernel rows, kernel columns, channels, filters].
        strides: step of the kernel.
        padding: "valid" or "same".
        tile: outputs per tile, one number or (rows, columns); None: the size with the least cost.

    Returns:
        [batch, output rows, output columns, filters].
    """
    size, strides = (inputs.shape[1], inputs.shape[2]), pair(strides)
    batch = inputs.shape[0] if inputs.shape[0] is not None else NOMINAL_BATCH
    layout = layout_of(size, tuple(kernel.shape), strides, padding.lower(), batch, tile and pair(tile))
    return convolve_phases(_phases_of_inputs(inputs, layout), kernel, layout)


def convolve_phases(phases: Any, kernel: Any, layout: "Layout") -> Any:
    """The convolution of inputs whose phases are at hand.

    Args:
        phases: [rows, columns, batch, row phases, column phases·channels] with the layout's `points` rows and columns.
        kernel: [kernel rows, kernel columns, channels, filters].
        layout: that of the inputs and the kernel.

    Returns:
        [batch, output rows, output columns, filters].
    """
    to_inputs, to_kernel, to_outputs = (
        ops.convert_to_tensor(matrix, phases.dtype) for matrix in matrices(layout.length, layout.taps, layout.tile)
    )
    count, filters = to_inputs.shape[0], kernel.shape[3]
    width = math.prod(layout.strides) * kernel.shape[2]
    inputs_at = ops.matmul(to_inputs, _tiles_of_phases(phases, layout))
    inputs_at = ops.reshape(inputs_at, (count, -1, width))  # [R, tiles·batch, phases·channels]
    kernel = after(inputs_at, kernel)  # what the inputs needed is free again before the large kernel is made
    kernel_at = ops.matmul(to_kernel, _phases_of_kernel(kernel, layout))
    kernel_at = ops.reshape(kernel_at, (count, width, filters))
    products = ops.matmul(inputs_at, kernel_at)  # [R, tiles·batch, filters]
    outputs = ops.matmul(to_outputs, ops.reshape(products, (count, -1)))
    return _without_tiles(outputs, filters, layout)


class Layout:
    """How the outputs are cut into tiles, and what that costs. All pairs are (rows, columns).

    Attributes:
        outputs: size of the whole output.
        strides: step of the kernel.
        before: rows and columns of padding before the first input.
        taps: taps of the kernel in one phase, T.
        tile: outputs per tile, M.
        tiles: number of tiles.
        length: length of the transforms, N.
        points: rows and columns of all tiles together, in each phase of the inputs.
        image_cost, kernel_cost: multiplications for each image, and for each step whatever the batch size is.
    """

    def __init__(self, size: Pair, kernel_shape: tuple[int, ...], strides: Pair, padding: str, tile: Pair | None):
        self.strides, kernel_size = strides, kernel_shape[:2]
        if padding == "same":
            self.outputs = tuple(-(-n // s) for n, s in zip(size, strides, strict=True))
            missing = [
                max((m - 1) * s + k - n, 0) for m, s, k, n in zip(self.outputs, strides, kernel_size, size, strict=True)
            ]
            self.before = tuple(total // 2 for total in missing)
        else:
            self.outputs = tuple((n - k) // s + 1 for n, k, s in zip(size, kernel_size, strides, strict=True))
            self.before = (0, 0)
        self.taps = tuple(-(-k // s) for k, s in zip(kernel_size, strides, strict=True))
        self.tile = tuple(min(t, m) for t, m in zip(tile or self.outputs, self.outputs, strict=True))
        self.tiles = tuple(-(-m // t) for m, t in zip(self.outputs, self.tile, strict=True))
        self.length = tuple(t - 1 + m for t, m in zip(self.taps, self.tile, strict=True))
        self.points = tuple((n - 1) * m + t for n, m, t in zip(self.tiles, self.tile, self.length, strict=True))
        width, filters = math.prod(strides) * kernel_shape[2], kernel_shape[3]
        products = real_numbers(self.length)
        transforms = products * (math.prod(self.length) * width + math.prod(self.tile) * filters)
        numbers = products * (width + filters)
        if self.tiles != (1, 1):
            numbers += math.prod(self.length) * width  # inputs are copied to tiles
        tile_cost = products * width * filters + _TRANSFORM * transforms + _NUMBER * numbers
        self.image_cost = math.prod(self.tiles) * tile_cost
        self.kernel_cost = _KERNEL_NUMBER * products * width * filters
        self._products, self._width, self._filters = products, width, filters

    def numbers(self, batch: int) -> int:
        """How many numbers the transformed inputs, kernel and outputs of a batch have."""
        rows = batch * math.prod(self.tiles)
        return self._products * (rows * self._width + self._width * self._filters + rows * self._filters)


@functools.lru_cache(maxsize=256)
def layout_of(
    size: Pair, kernel_shape: tuple[int, ...], strides: Pair, padding: str, batch: int, tile: Pair | None = None
) -> Layout:
    """The layout with the given tile, or else with the tile of the least cost for the batch."""
    whole = Layout(size, kernel_shape, strides, padding, tile)
    if tile is not None:
        return whole
    candidates = [
        {m} | {-(-m // parts) for parts in range(2, m + 1) if t - 1 <= -(-m // parts) <= _LONGEST + 1 - t}
        for m, t in zip(whole.outputs, whole.taps, strict=True)
    ]
    layouts = [
        Layout(size, kernel_shape, strides, padding, (rows, columns))
        for rows in candidates[0]
        for columns in candidates[1]
    ]
    return min(layouts, key=lambda layout: batch * layout.image_cost + layout.kernel_cost)


def _phases_of_inputs(inputs: Any, layout: Layout) -> Any:
    """The phases of the inputs, [rows, columns, batch, row phases, column phases·channels]."""
    (rows, columns), (row_step, column_step) = layout.points, layout.strides
    inputs = fit(inputs, layout.before, (rows * row_step, columns * column_step))
    phases = ops.reshape(inputs, (-1, rows, row_step, columns, column_step * inputs.shape[3]))
    return ops.transpose(phases, (1, 3, 0, 2, 4))


def _tiles_of_phases(points: Any, layout: Layout) -> Any:
    """The points of each tile, [points, tiles·batch·phases·channels]."""
    if layout.tiles != (1, 1):
        (rows, columns), (down, across), (tile_rows, tile_columns) = layout.points, layout.tiles, layout.tile
        length, width = layout.length
        points = _overlapping(ops.reshape(points, (rows, -1)), down, tile_rows, length)  # [down, length, rest]
        points = ops.reshape(points, (down * length, columns, -1))
        points = ops.transpose(points, (1, 0, 2))  # [columns, down·length, batch·phases·channels]
        points = _overlapping(ops.reshape(points, (columns, -1)), across, tile_columns, width)
        points = ops.reshape(points, (across, width, down, length, -1))
        points = ops.transpose(points, (3, 1, 2, 0, 4))  # [length, width, down, across, batch·phases·channels]
    return ops.reshape(points, (math.prod(layout.length), -1))


def _overlapping(points: Any, tiles: int, tile: int, length: int) -> Any:
    """Overlapping tiles of `length` points that start `tile` points apart: [points, rest] to [tiles, length, rest].

    The points are split at each start and each end of a tile and the pieces put together, so that a gradient copies
    pieces too. The gradient of a slice would fill the rest of its array with zeros, which takes several times as long.
    """
    if tiles == 1:
        return ops.expand_dims(points, axis=0)
    bounds = sorted({start + end for start in range(0, tiles * tile, tile) for end in (0, length)})
    pieces = ops.split(points, bounds[1:-1], axis=0)
    parts = [
        piece
        for start in range(0, tiles * tile, tile)
        for bound, piece in zip(bounds[:-1], pieces, strict=True)
        if start <= bound < start + length
    ]
    return ops.reshape(ops.concatenate(parts, axis=0), (tiles, length, -1))


def fit(tensor: Any, before: Pair, size: Pair, first: int = 1) -> Any:
    """Brings the two axes from `first` on to `size`: adds `before` zeros in front, then pads or crops at the end."""
    ends = [total - front for total, front in zip(size, before, strict=True)]
    now = tensor.shape[first : first + 2]
    if any(end < length for end, length in zip(ends, now, strict=True)):
        tensor = tensor[(slice(None),) * first + tuple(slice(0, end) for end in ends)]
    after = [max(end - length, 0) for end, length in zip(ends, now, strict=True)]
    widths = [(0, 0)] * first + list(zip(before, after, strict=True)) + [(0, 0)] * (len(tensor.shape) - first - 2)
    return ops.pad(tensor, widths) if any(map(any, widths)) else tensor


def _phases_of_kernel(kernel: Any, layout: Layout) -> Any:
    """The kernel with its phases as channels, [taps, phases·channels·filters]."""
    _, _, channels, filters = kernel.shape
    (rows, columns), (row_step, column_step) = layout.taps, layout.strides
    kernel = fit(kernel, (0, 0), (rows * row_step, columns * column_step), first=0)
    kernel = ops.reshape(kernel, (rows, row_step, columns, column_step, channels * filters))
    kernel = ops.transpose(kernel, (0, 2, 1, 3, 4))  # [rows, columns, row phases, column phases, channels·filters]
    return ops.reshape(kernel, (rows * columns, -1))


def _without_tiles(outputs: Any, filters: int, layout: Layout) -> Any:
    """The outputs of all tiles [outputs of a tile, tiles·batch·filters] as [batch, rows, columns, filters]."""
    (tile_rows, tile_columns), (down, across) = layout.tile, layout.tiles
    outputs = ops.reshape(outputs, (tile_rows, tile_columns, down, across, -1, filters))
    outputs = ops.transpose(outputs, (4, 2, 0, 3, 1, 5))  # [batch, tiles, rows, tiles, columns, filters]
    outputs = ops.reshape(outputs, (-1, down * tile_rows, across * tile_columns, filters))
    return fit(outputs, (0, 0), layout.outputs)


def pair(value: int | Pair) -> Pair:
    """One number for both directions as (rows, columns); a pair as it is."""
    rows, columns = (value, value) if isinstance(value, int) else value
    return rows, columns
