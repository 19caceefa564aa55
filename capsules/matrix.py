"""Matrix capsules: EM routing, and capsules over a grid, each of which is routed from a window below it.

Source: Hinton, Sabour, Frosst, "Matrix capsules with EM routing", ICLR 2018.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from capsules.layers import Capsules
from capsules.ops import count, number, precise
from capsules.primary import WindowLayer
from capsules.routing import Routed, Routing, Step, coupling_coefficients, equal_coefficients
from capsules.votes import NOMINAL_BATCH, StoredVotes, Votes

_EPSILON = 1e-6
_CHUNK = 2**23  # numbers of the votes that are stored at a time


@keras.saving.register_keras_serializable("capsules")
class EMRouting(Routing):
    """EM routing (procedure 1): output capsules are Gaussians; the mean is the pose, the cost decides the activation.

    The M-step fits mean and variance to the votes, weighted by the assignments and the activations of the inputs. The
    E-step assigns each input capsule anew by the probability of its votes. The inverse temperature of iteration t is
    λ·(1 − 0.95^(t+1)). Everything is float32 and in logarithms, and the square of a difference is not expanded, since
    the terms would cancel. Votes are stored for a part of the input capsules at a time, in training too.

    Args:
        iterations: number of M-steps, 1 or more.
        inverse_temperature: λ.

    Weights: `beta_u`, `beta_a` [out]. `beta_u` starts at 1: a capsule pays if its votes deviate by less than 1/e, and
    poses of a size of about 1 have activations between 0 and 1, and not all 1, where nothing would learn.
    """

    own_activations = True

    def __init__(self, iterations: int = 3, inverse_temperature: float = 0.01):
        self.iterations = count("EMRouting: iterations", iterations)
        self.inverse_temperature = number("EMRouting: inverse_temperature", inverse_temperature)

    def build(self, add_weight: Callable, shape: tuple[int, int, int]) -> None:
        self.beta_u = add_weight(name="beta_u", shape=(shape[1],), initializer="ones")
        self.beta_a = add_weight(name="beta_a", shape=(shape[1],), initializer="zeros")

    def __call__(self, votes: StoredVotes, activations: Any = None) -> Routed:
        inputs, outputs, atoms = votes.shape
        size = max(1, _CHUNK // (NOMINAL_BATCH * votes.places * outputs * atoms))  # of a part
        present = 1.0 if activations is None else precise(activations)[:, :, None]  # [batch, in, 1]
        assigned = equal_coefficients(votes.sum(), inputs, 1.0 / outputs)  # R [batch, in, out]
        steps = []
        for iteration in range(self.iterations):
            weights = assigned * present
            total = ops.sum(weights, axis=1)  # S [batch, out]
            mean = votes.weighted_sum(weights) / (total[..., None] + _EPSILON)  # [batch, out, atoms]
            spread: Any = sum(votes.in_parts(size, _spread, [weights], [mean]))
            variance = spread / (total[..., None] + _EPSILON) + _EPSILON
            cost = total * ops.sum(precise(self.beta_u)[:, None] + 0.5 * ops.log(variance), axis=-1)  # [batch, out]
            temperature = self.inverse_temperature * (1.0 - 0.95 ** (iteration + 1))
            logits = temperature * (precise(self.beta_a) - cost)
            steps.append(Step(assigned, mean))
            if iteration < self.iterations - 1:
                prior = ops.log_sigmoid(logits) - 0.5 * ops.sum(ops.log(2 * math.pi * variance), axis=-1)
                likelihoods = votes.in_parts(size, _likelihoods, [], [mean, variance, prior])
                assigned = coupling_coefficients(ops.concatenate(likelihoods, axis=1))
        return Routed(mean, ops.sigmoid(logits), steps)


def _spread(votes: Any, weights: Any, mean: Any) -> Any:
    """Σ_i w_ij (û_ij − μ_j)² [batch, out, atoms] over input capsules with weights [batch, in, out]."""
    return ops.sum(weights[..., None] * ops.square(precise(votes) - mean[:, None]), axis=1)


def _likelihoods(votes: Any, mean: Any, variance: Any, prior: Any) -> Any:
    """The logarithms of the probability densities of votes [batch, in, out], added to those of [batch, out]."""
    return prior[:, None] - 0.5 * ops.sum(ops.square(precise(votes) - mean[:, None]) / variance[:, None], axis=-1)


@keras.saving.register_keras_serializable("capsules")
class ConvCapsules(Capsules, WindowLayer):
    """Capsules over a grid, each routed from a window below it, with the same weights at every place (sections 3 to 5).

    A window is routed like the capsules of `Capsules`: its input capsules are ordered (row, column, type), and the
    places of the output are further examples of the batch. Padding with "same" adds capsules of zeros with activation
    0, which a routing that takes activations ignores.

    Args:
        types: number of capsule types at each place of the output.
        atoms: length of each output capsule.
        kernel_size, strides, padding: see `WindowLayer`.
        routing, transform, return_activations, kernel_initializer, …: see `Capsules`.
        coordinates: coordinate addition, for the last layer, whose window is the whole grid: all places of a window
            share their weights, and the place of a capsule, (row, column) in (0, 1), is added to two numbers of its
            votes. These are the first two atoms, or the first two of the last column of a matrix, as in the paper.

    Call: `layer(capsules)` or `layer(capsules, activations)` with capsules [batch, rows, columns, types_in, atoms_in]
    and activations [batch, rows, columns, types_in].
    Output: capsules [batch, rows', columns', types, atoms], and activations [batch, rows', columns', types].

    Example:
        >>> layer = ConvCapsules(16, kernel_size=3, strides=2, routing=EMRouting(2), return_activations=True)
        >>> poses, activations = layer(keras.random.normal((2, 12, 12, 8, 16)), keras.random.uniform((2, 12, 12, 8)))
        >>> tuple(poses.shape), tuple(activations.shape)
        ((2, 5, 5, 16, 16), (2, 5, 5, 16))
    """

    def __init__(
        self,
        types: int,
        atoms: int = 16,
        kernel_size: int | tuple[int, ...] = 3,
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        routing: int | Routing = 3,
        transform: str = "matrix",
        coordinates: bool = False,
        return_activations: bool = False,
        **kwargs: Any,
    ):
        kwargs |= {"kernel_size": kernel_size, "strides": strides, "padding": padding}
        super().__init__(types, atoms, routing, transform, return_activations, **kwargs)
        self.coordinates = bool(coordinates)

    def build(self, capsules_shape: tuple, activations_shape: tuple | None = None) -> None:
        self.check_shape(capsules_shape, "capsules [batch, rows, columns, types, atoms]")
        self.grid = self.grid_of(capsules_shape)
        if self.coordinates and self.grid != (1, 1):
            sizes = f"kernel_size={tuple(capsules_shape[1:3])}. Received: {self.kernel_size}"
            raise ValueError(f"Layer '{self.name}' adds coordinates to a window that is the whole grid, {sizes}")
        places = math.prod(self.kernel_size)
        self.build_weights(places * capsules_shape[3], capsules_shape[4], places if self.coordinates else 1)

    def windows(self, values: Any) -> Any:
        """The windows of values [batch, rows, columns, types, …] as [batch·rows'·columns', in, …]."""
        padding, ends = [], []
        for size, kernel, stride, steps in zip(
            values.shape[1:3], self.kernel_size, self.strides, self.grid, strict=True
        ):
            ends.append((steps - 1) * stride + 1)
            missing = max(ends[-1] + kernel - 1 - size, 0)
            padding.append((missing // 2, missing - missing // 2))
        if self.padding == "same":
            values = ops.pad(values, ((0, 0), *padding, *[(0, 0)] * (len(values.shape) - 3)))
        parts = [
            values[:, row : row + ends[0] : self.strides[0], column : column + ends[1] : self.strides[1]]
            for row, column in np.ndindex(*self.kernel_size)
        ]
        windows = ops.concatenate(parts, axis=3)  # [batch, rows', columns', in, …]
        return ops.reshape(windows, (-1, *windows.shape[3:]))

    def votes(self, capsules: Any) -> StoredVotes:
        """The votes in all windows of capsules [batch, rows, columns, types_in, atoms_in]."""
        windows, kernel = self.windows(capsules), self.kernel_by_capsule(capsules.dtype)
        if self.coordinates:
            kernel = ops.tile(kernel, (math.prod(self.kernel_size), 1, 1, 1))
            windows, kernel = self._with_places(windows, kernel)
        votes = Votes(windows, kernel, self.rows)
        votes.places = math.prod(self.grid)
        return votes

    def _with_places(self, windows: Any, kernel: Any) -> tuple[Any, Any]:
        """Windows and kernel with the places as further atoms, which have the weight 1 for what they are added to."""
        size, _, outputs, columns = kernel.shape
        place = (np.indices(self.kernel_size).reshape(2, -1).T + 0.5) / self.kernel_size  # [places, (row, column)]
        place = np.repeat(place, size // len(place), axis=0)  # [in, 2]
        if self.rows == 1:
            atoms, to = place[:, None], np.eye(2, columns)
        else:  # the first row of a matrix gets the row, the second one the column
            atoms, to = np.pad(place, ((0, 0), (0, self.rows - 2)))[..., None], np.eye(1, columns)[:, ::-1]
        rows = ops.reshape(windows, (-1, size, self.rows, windows.shape[2] // self.rows))
        atoms = ops.broadcast_to(ops.cast(atoms, rows.dtype), (ops.shape(rows)[0], *atoms.shape))
        rows = ops.concatenate([rows, atoms], axis=3)
        to = np.broadcast_to(to[None, :, None], (size, len(to), outputs, columns))
        kernel = ops.concatenate([kernel, ops.cast(to, kernel.dtype)], axis=1)
        return ops.reshape(rows, (-1, size, rows.shape[2] * rows.shape[3])), kernel

    def route(self, capsules: Any, activations: Any = None) -> Routed:
        """The output with all iterations of the routing; in its steps, the places are further examples of the batch."""
        self.check_activations(capsules, activations)
        if activations is None and self.padding == "same":
            activations = ops.ones_like(capsules[..., 0])
        present = None if activations is None else self.windows(activations)
        routed = self.routing(self.votes(capsules), present)
        shape = (-1, *self.grid, self.num_capsules)
        capsules = ops.reshape(routed.capsules, (*shape, self.atoms))
        return Routed(capsules, ops.reshape(routed.activations, shape), routed.steps)

    def compute_output_shape(self, capsules_shape: tuple, activations_shape: tuple | None = None) -> tuple:
        shape = (capsules_shape[0], *self.grid_of(capsules_shape), self.num_capsules, self.atoms)
        return (shape, shape[:-1]) if self.return_activations else shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["types"] = config.pop("num_capsules")
        return config
