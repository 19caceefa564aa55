"""Computes sums and agreements of the votes û_ij = u_i W_ij of input capsules for output capsules.

`Votes` never stores the votes. Their weighted sum is s_j = Σ_i c_ij u_i W_ij, and their agreement with v_j is
u_i · (W_ij v_j). Both are matrix products over the input capsules, one for each of their atoms; the output capsules
come first there, [out, batch, in], while a routing sees [batch, in, out]. `StoredVotes` has the same methods for votes
that exist as an array.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from capsules.ops import precise, runs_on_cpu

# Bytes of the coefficients of a group, for the whole batch. Several such arrays are in use at the same time and should
# stay in a processor's cache; with smaller ones, the overhead of more groups is larger than the gain.
_GROUP_BYTES = 6e6
_MOST_GROUPS = 64
NOMINAL_BATCH = 128  # for choices that depend on the batch size, while it is not known


class StoredVotes:
    """Votes that exist as an array û [batch, in, out, atoms]; another rank is a ValueError.

    Attributes:
        shape: (in, out, atoms).
    """

    places = 1  # how many examples of the batch belong to one image, for choices that depend on the batch size

    def __init__(self, votes: Any):
        if len(votes.shape) != 4:
            raise ValueError(f"Votes have the shape [batch, in, out, atoms]. Received: {tuple(votes.shape)}")
        self.array = votes
        self.shape = tuple(votes.shape[1:])

    def sum(self) -> Any:
        """Σ_i û_ij, float32 [batch, out, atoms]."""
        return ops.sum(precise(self.array), axis=1)

    def weighted_sum(self, coefficients: Any) -> Any:
        """Σ_i c_ij û_ij, float32 [batch, out, atoms], of coefficients c [batch, in, out]."""
        shares = ops.cast(ops.transpose(coefficients, (0, 2, 1)), self.array.dtype)[:, :, None]  # [batch, out, 1, in]
        sums = ops.matmul(shares, ops.transpose(self.array, (0, 2, 1, 3)))  # [batch, out, 1, atoms]
        return precise(ops.squeeze(sums, axis=2))

    def agreement(self, capsules: Any) -> Any:
        """û_ij · v_j, float32 [batch, in, out], with capsules v [batch, out, atoms]."""
        capsules = ops.cast(capsules, self.array.dtype)[:, None]  # [batch, 1, out, atoms]
        return ops.sum(precise(self.array * capsules), axis=3)

    def attend(self, capsules: Any, couple: Callable) -> tuple[Any, Any]:
        """The sum [batch, out, atoms] of the votes weighted by coefficients [batch, in, out], and these; float32.

        `couple` makes the coefficients from the agreements of the votes with capsules v [batch, out, atoms]; it gets
        `axis`, the axis of the output capsules, by name.
        """
        coefficients = couple(self.agreement(capsules), axis=2)
        return self.weighted_sum(coefficients), coefficients

    def in_parts(self, size: int, function: Callable, parted: Sequence = (), shared: Sequence = ()) -> list:
        """`function(votes, *parted, *shared)` of each `size` input capsules; the last part may be smaller.

        It gets their votes [batch, part, out, atoms], their part of each of the arrays `parted` [batch, in, …], and the
        arrays `shared` as they are: those that have a gradient must be among its arguments.
        """
        return self._of_parts(size, function, [(self.array, 1)], parted, shared)

    def _of_parts(self, size: int, function: Callable, own: list[tuple], parted: Sequence, shared: Sequence) -> list:
        cuts, arrays = [*range(size, self.shape[0], size)], [*own, *((each, 1) for each in parted)]  # with their axes
        parts = [ops.split(array, cuts, axis) if cuts else [array] for array, axis in arrays]
        return [function(*each, *shared) for each in zip(*parts, strict=True)]


class Votes(StoredVotes):
    """Votes that are computed where they are needed; the methods are those of `StoredVotes`.

    The input capsules are divided into groups and by their atoms: a piece is one atom of one group. The rows of a pose
    that is a matrix are transformed by the same weights, so they are further examples of the batch here.

    Args:
        inputs: the input capsules u [batch, in, rows·columns_in], matrices with one row after the other.
        kernel: the weights W [in, columns_in, out, columns], in the dtype of `inputs`.
        rows: number of rows of a pose; 1 for vectors.
    """

    def __init__(self, inputs: Any, kernel: Any, rows: int = 1):
        size, self._columns_in, outputs, columns = kernel.shape
        self.rows, self.shape = rows, (size, outputs, rows * columns)
        self.inputs, self.kernel = self._as_rows(inputs), kernel  # inputs [batch·rows, in, columns_in]
        self._groups = _number_of_groups(self.inputs.shape[0], size, outputs)
        group = size // self._groups
        pieces = ops.reshape(self.inputs, (-1, self._groups, group, self._columns_in))
        pieces = ops.transpose(pieces, (1, 3, 0, 2))  # [groups, columns_in, batch·rows, group]
        # Unstacked, since the gradient of an index would fill an array as large as the whole with zeros.
        self._input_pieces = ops.unstack(ops.reshape(pieces, (self._groups * self._columns_in, 1, -1, group)))
        pieces = ops.reshape(kernel, (self._groups, group, self._columns_in, outputs, columns))
        pieces = ops.transpose(pieces, (0, 2, 3, 4, 1))  # [groups, columns_in, out, columns, group]
        pieces = ops.reshape(pieces, (self._groups * self._columns_in, outputs, columns, group))
        self._kernel_pieces = ops.unstack(pieces)

    def sum(self) -> Any:
        size, columns_in, outputs, columns = self.kernel.shape
        rows = ops.reshape(self.inputs, (-1, size * columns_in))
        total = ops.matmul(rows, ops.reshape(self.kernel, (size * columns_in, outputs * columns)))
        return self._as_poses(precise(ops.reshape(total, (-1, outputs, columns))))

    def weighted_sum(self, coefficients: Any) -> Any:
        return self._weighted_sum(ops.transpose(coefficients, (2, 0, 1)))

    def agreement(self, capsules: Any) -> Any:
        return ops.transpose(self._agreement(capsules), (1, 2, 0))

    def attend(self, capsules: Any, couple: Callable) -> tuple[Any, Any]:
        coefficients = couple(self._agreement(capsules), axis=0)  # nothing is transposed between the two products
        return self._weighted_sum(coefficients), ops.transpose(coefficients, (1, 2, 0))

    def in_parts(self, size: int, function: Callable, parted: Sequence = (), shared: Sequence = ()) -> list:
        def compute(inputs: Any, kernel: Any, *others: Any) -> Any:
            votes = ops.einsum("bia,iajd->bijd", inputs, kernel)
            count, outputs, columns = votes.shape[1:]
            votes = self._as_poses(ops.reshape(votes, (-1, count * outputs, columns)))
            return function(ops.reshape(votes, (-1, count, *self.shape[1:])), *others)

        if size < self.shape[0]:  # the gradient computes the votes again, so that those of one part exist at a time
            compute = keras.remat(compute)
        return self._of_parts(size, compute, [(self.inputs, 1), (self.kernel, 0)], parted, shared)

    def _weighted_sum(self, coefficients: Any) -> Any:
        """Σ_i c_ij û_ij [batch, out, atoms], of coefficients [out, batch, in]."""
        size, outputs, _ = self.shape
        if self.rows > 1:
            coefficients = ops.repeat(coefficients, self.rows, axis=1)  # [out, batch·rows, in]
        shares = ops.cast(coefficients, self.inputs.dtype)
        shares = ops.reshape(shares, (outputs, -1, self._groups, size // self._groups))
        shares = ops.unstack(shares, axis=2) if self._groups > 1 else [shares[:, :, 0]]  # each [out, batch·rows, group]
        total: Any = 0.0
        for piece, (inputs, kernel) in enumerate(zip(self._input_pieces, self._kernel_pieces, strict=True)):
            moved = shares[piece // self._columns_in] * inputs  # [out, batch·rows, group]
            total = total + precise(ops.matmul(moved, ops.transpose(kernel, (0, 2, 1))))
        return self._as_poses(ops.transpose(total, (1, 0, 2)))

    def _agreement(self, capsules: Any) -> Any:
        """û_ij · v_j [out, batch, in], with capsules [batch, out, atoms]."""
        size, outputs, _ = self.shape
        vectors = self._as_rows(ops.cast(capsules, self.inputs.dtype))
        vectors = ops.transpose(vectors, (1, 0, 2))  # [out, batch·rows, columns]
        of_groups: list[Any] = [0.0] * self._groups
        for piece, (inputs, kernel) in enumerate(zip(self._input_pieces, self._kernel_pieces, strict=True)):
            products = ops.matmul(vectors, kernel) * inputs  # [out, batch·rows, group]
            of_groups[piece // self._columns_in] += precise(products)
        of_rows = ops.concatenate(of_groups, axis=2)
        return of_rows if self.rows == 1 else ops.sum(ops.reshape(of_rows, (outputs, -1, self.rows, size)), axis=2)

    def _as_rows(self, poses: Any) -> Any:
        """[batch, n, rows·columns] as [batch·rows, n, columns]."""
        if self.rows == 1:
            return poses
        count, columns = poses.shape[1], poses.shape[2] // self.rows
        rows = ops.transpose(ops.reshape(poses, (-1, count, self.rows, columns)), (0, 2, 1, 3))
        return ops.reshape(rows, (-1, count, columns))

    def _as_poses(self, rows: Any) -> Any:
        """[batch·rows, n, columns] as [batch, n, rows·columns]."""
        if self.rows == 1:
            return rows
        count, columns = rows.shape[1:]
        poses = ops.transpose(ops.reshape(rows, (-1, self.rows, count, columns)), (0, 2, 1, 3))
        return ops.reshape(poses, (-1, count, self.rows * columns))


def _number_of_groups(batch: int | None, size: int, outputs: int) -> int:
    """The smallest number of equal groups of `size` input capsules that `_GROUP_BYTES` allows, if there is one.

    Compilers and accelerators do better with all input capsules at once, and so do numbers that cannot be divided.
    """
    if not runs_on_cpu():
        return 1
    fitting = max(1.0, _GROUP_BYTES / (4 * outputs * (batch or NOMINAL_BATCH)))
    possible = (groups for groups in range(1, _MOST_GROUPS + 1) if size % groups == 0 and size / groups <= fitting)
    return next(possible, 1)
