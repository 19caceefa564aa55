"""Votes of capsules whose pose is a matrix, û_ij = M_i W_ij (Hinton, Sabour, Frosst 2018)."""

from collections.abc import Iterator
from typing import Any

from keras import ops

from capsules.votes import StoredVotes, Votes


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
