"""Points and matrices of the short transforms of `capsules.short_dft`.

Toom and Cook multiply two polynomials by their values at N points. If the points are the N-th roots of 1, the values
are a Fourier transform. A real point takes one product and a pair of complex conjugates takes three, so the convolution
is faster the more points are real. Real points lie closer together, which makes the rounding error larger.

Source: Winograd, "Arithmetic Complexity of Computations", SIAM 1980.
"""

import functools
import math

import numpy as np

Pair = tuple[int, ...]  # (rows, columns)


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
    """Number of products of a transform: one for each real point, three for each pair of conjugates."""
    alone = math.prod(len(_points(n)[0]) for n in length)
    return alone + 3 * (math.prod(length) - alone) // 2


@functools.lru_cache(maxsize=64)
def matrices(length: Pair, taps: Pair, tile: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B [R, inputs of a tile], G [R, taps] and A [outputs of a tile, R] of `capsules.short_dft`, in float64."""
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
