"""Computes sums and agreements of the votes û_ij = u_i W_ij of input capsules for output capsules.

`Votes` never stores the votes. Their weighted sum is s_j = Σ_i c_ij u_i W_ij, and their agreement with v_j is
u_i · (W_ij v_j). Both are matrix products over the input capsules, one for each of their atoms. `StoredVotes` has the
same methods for votes that exist as an array, and `MatrixVotes` for capsules whose pose is a matrix, û_ij = M_i W_ij
(Hinton, Sabour, Frosst 2018).

In the products the output capsules come first, [out, batch, in]; a routing sees [batch, in, out].
"""

from collections.abc import Callable, Iterator
from typing import Any

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

    def chunks(self, size: int) -> Iterator["StoredVotes"]:
        """The votes of `size` input capsules at a time, stored; the last part may be smaller."""
        for start in range(0, self.shape[0], size):
            yield StoredVotes(self.array[:, start : start + size])


class Votes(StoredVotes):
    """Votes that are computed where they are needed; the methods are those of `StoredVotes`.

    The input capsules are divided into groups and by their atoms: a piece is one atom of one group.

    Args:
        inputs: the input capsules u [batch, in, atoms_in].
        kernel: the weights W [in, atoms_in, out, atoms], in the dtype of `inputs`.
    """

    def __init__(self, inputs: Any, kernel: Any):
        self.inputs, self.kernel = inputs, kernel
        size, self._atoms_in, outputs, atoms = kernel.shape
        self.shape = (size, outputs, atoms)
        self._groups = _number_of_groups(inputs.shape[0], size, outputs)
        group = size // self._groups
        pieces = ops.reshape(inputs, (-1, self._groups, group, self._atoms_in))
        pieces = ops.transpose(pieces, (1, 3, 0, 2))  # [groups, atoms_in, batch, group]
        # Unstacked, since the gradient of an index would fill an array as large as the whole with zeros.
        self._input_pieces = ops.unstack(ops.reshape(pieces, (self._groups * self._atoms_in, 1, -1, group)))
        pieces = ops.reshape(kernel, (self._groups, group, self._atoms_in, outputs, atoms))
        pieces = ops.transpose(pieces, (0, 2, 3, 4, 1))  # [groups, atoms_in, out, atoms, group]
        self._kernel_pieces = ops.unstack(ops.reshape(pieces, (self._groups * self._atoms_in, outputs, atoms, group)))

    def sum(self) -> Any:
        size, outputs, atoms = self.shape
        rows = ops.reshape(self.inputs, (-1, size * self._atoms_in))
        total = ops.matmul(rows, ops.reshape(self.kernel, (size * self._atoms_in, outputs * atoms)))
        return precise(ops.reshape(total, (-1, outputs, atoms)))

    def weighted_sum(self, coefficients: Any) -> Any:
        return self._weighted_sum(ops.transpose(coefficients, (2, 0, 1)))

    def agreement(self, capsules: Any) -> Any:
        return ops.transpose(self._agreement(capsules), (1, 2, 0))

    def attend(self, capsules: Any, couple: Callable) -> tuple[Any, Any]:
        coefficients = couple(self._agreement(capsules), axis=0)  # nothing is transposed between the two products
        return self._weighted_sum(coefficients), ops.transpose(coefficients, (1, 2, 0))

    def chunks(self, size: int) -> Iterator[StoredVotes]:
        for start in range(0, self.shape[0], size):
            part = slice(start, start + size)
            yield StoredVotes(ops.einsum("bia,iajd->bijd", self.inputs[:, part], self.kernel[part]))

    def _weighted_sum(self, coefficients: Any) -> Any:
        """Σ_i c_ij û_ij [batch, out, atoms], of coefficients [out, batch, in]."""
        size, outputs, _ = self.shape
        shares = ops.cast(coefficients, self.inputs.dtype)
        shares = ops.reshape(shares, (outputs, -1, self._groups, size // self._groups))
        shares = ops.unstack(shares, axis=2) if self._groups > 1 else [shares[:, :, 0]]  # each [out, batch, group]
        total: Any = 0.0
        for piece, (inputs, kernel) in enumerate(zip(self._input_pieces, self._kernel_pieces, strict=True)):
            moved = shares[piece // self._atoms_in] * inputs  # [out, batch, group]
            total = total + precise(ops.matmul(moved, ops.transpose(kernel, (0, 2, 1))))
        return ops.transpose(total, (1, 0, 2))

    def _agreement(self, capsules: Any) -> Any:
        """û_ij · v_j [out, batch, in], with capsules [batch, out, atoms]."""
        vectors = ops.transpose(ops.cast(capsules, self.inputs.dtype), (1, 0, 2))  # [out, batch, atoms]
        of_groups: list[Any] = [0.0] * self._groups
        for piece, (inputs, kernel) in enumerate(zip(self._input_pieces, self._kernel_pieces, strict=True)):
            of_groups[piece // self._atoms_in] += precise(ops.matmul(vectors, kernel) * inputs)  # [out, batch, group]
        return ops.concatenate(of_groups, axis=2)


class MatrixVotes(StoredVotes):
    """Votes of matrix poses, which are computed where they are needed.

    The rows of a pose are transformed by the same weights. They are treated as further examples of the batch, so each
    sum is that of `Votes`, with 1/rows of the weights that a vector of all atoms would need.

    Args:
        inputs: the poses [batch, in, rows·columns_in], each with its rows one after the other.
        kernel: the weights W [in, columns_in, out, columns], in the dtype of `inputs`.
        rows: number of rows of a pose.
    """

    def __init__(self, inputs: Any, kernel: Any, rows: int):
        size, columns_in, outputs, columns = kernel.shape
        self.rows, self.columns, self.shape = rows, columns, (size, outputs, rows * columns)
        inputs = ops.reshape(inputs, (-1, size, rows, columns_in))
        inputs = ops.transpose(inputs, (0, 2, 1, 3))  # [batch, rows, in, columns_in]
        self._of_rows = Votes(ops.reshape(inputs, (-1, size, columns_in)), kernel)

    def sum(self) -> Any:
        return self._as_poses(self._of_rows.sum())

    def weighted_sum(self, coefficients: Any) -> Any:
        return self._as_poses(self._of_rows.weighted_sum(ops.repeat(coefficients, self.rows, axis=0)))

    def agreement(self, capsules: Any) -> Any:
        size, outputs, _ = self.shape
        rows = ops.reshape(capsules, (-1, outputs, self.rows, self.columns))
        rows = ops.reshape(ops.transpose(rows, (0, 2, 1, 3)), (-1, outputs, self.columns))  # [batch·rows, out, columns]
        return ops.sum(ops.reshape(self._of_rows.agreement(rows), (-1, self.rows, size, outputs)), axis=1)

    def chunks(self, size: int) -> Iterator[StoredVotes]:
        _, outputs, atoms = self.shape
        for part in self._of_rows.chunks(size):
            votes = ops.reshape(part.array, (-1, self.rows, part.shape[0], outputs, self.columns))
            votes = ops.transpose(votes, (0, 2, 3, 1, 4))  # [batch, size, out, rows, columns]
            yield StoredVotes(ops.reshape(votes, (-1, part.shape[0], outputs, atoms)))

    def _as_poses(self, rows: Any) -> Any:
        """Poses [batch, out, rows·columns] of their rows [batch·rows, out, columns]."""
        _, outputs, atoms = self.shape
        poses = ops.transpose(ops.reshape(rows, (-1, self.rows, outputs, self.columns)), (0, 2, 1, 3))
        return ops.reshape(poses, (-1, outputs, atoms))


def make_votes(inputs: Any, kernel: Any, rows: int) -> StoredVotes:
    """The votes of input capsules for a kernel, whose poses are vectors (`rows` is 1) or matrices."""
    return Votes(inputs, kernel) if rows == 1 else MatrixVotes(inputs, kernel, rows)


def _number_of_groups(batch: int | None, size: int, outputs: int) -> int:
    """The smallest number of equal groups of `size` input capsules that `_GROUP_BYTES` allows, if there is one.

    Compilers and accelerators do better with all input capsules at once, and so do numbers that cannot be divided.
    """
    if not runs_on_cpu():
        return 1
    fitting = max(1.0, _GROUP_BYTES / (4 * outputs * (batch or NOMINAL_BATCH)))
    possible = (groups for groups in range(1, _MOST_GROUPS + 1) if size % groups == 0 and size / groups <= fitting)
    return next(possible, 1)
