"""Computes sums and agreements of the votes û_ij = u_i W_ij of input capsules for output capsules.

`Votes` never stores a vote, neither in the forward nor in the backward pass. The weighted sum of the votes is
s_j = Σ_i c_ij u_i W_ij, and their agreement with v_j is u_i · (W_ij v_j). Both are matrix products over the input
capsules, one for each of their atoms. Each is the gradient of the other with respect to its first argument, so both
passes consist of the same few products. Only the arguments are kept for the backward pass: arrays as large as the votes
are computed again, which costs less than writing and reading them. `StoredVotes` has the same methods for votes that
exist as an array.
"""

from collections.abc import Callable

from keras import ops

from capsules.backend import NOMINAL_BATCH, is_tensorflow_on_cpu


class Votes:
    """Votes that are never stored.

    Args:
        inputs: the input capsules u [batch, in, atoms_in].
        kernel: the weights W [in, atoms_in, out, atoms], in the dtype of `inputs`.
    """

    def __init__(self, inputs, kernel):
        self.inputs, self.kernel = inputs, kernel
        size, atoms_in, num_outputs, atoms = kernel.shape
        self._groups = _number_of_groups(inputs.shape[0], size, num_outputs)
        grouped = ops.reshape(inputs, (-1, self._groups, size // self._groups, atoms_in))
        grouped = ops.transpose(grouped, (1, 3, 0, 2))  # [groups, atoms_in, batch, group]
        self._input_pieces = ops.reshape(grouped, (self._groups * atoms_in, 1, -1, size // self._groups))
        grouped = ops.reshape(kernel, (self._groups, -1, atoms_in, num_outputs, atoms))
        grouped = ops.transpose(grouped, (0, 2, 3, 4, 1))  # [groups, atoms_in, out, atoms, group]
        self._kernel_pieces = ops.reshape(grouped, (self._groups * atoms_in, num_outputs, atoms, -1))

    @property
    def coefficients_shape(self) -> tuple:
        """(out, batch, in): the shape of coupling coefficients and agreements."""
        batch, size, _ = ops.shape(self.inputs)
        return (self.kernel.shape[2], batch, size)

    def sum(self):
        """Σ_i û_ij, [out, batch, atoms]: one matrix product."""
        size, atoms_in, num_outputs, atoms = self.kernel.shape
        rows = ops.reshape(self.inputs, (-1, size * atoms_in))
        total = ops.matmul(rows, ops.reshape(self.kernel, (size * atoms_in, -1)))  # [batch, out·atoms]
        return ops.transpose(ops.reshape(total, (-1, num_outputs, atoms)), (1, 0, 2))

    def weighted_sum(self, coefficients):
        """Σ_i c_ij û_ij, float32 [out, batch, atoms], of coefficients [out, batch, in]."""
        num_outputs, _, size = coefficients.shape
        grouped = ops.reshape(coefficients, (num_outputs, -1, self._groups, size // self._groups))
        grouped = ops.transpose(grouped, (2, 0, 1, 3))  # [groups, out, batch, group]
        return weighted_sum(grouped, self._input_pieces, self._kernel_pieces)

    def agreement(self, capsules):
        """û_ij · v_j, float32 [out, batch, in], with capsules v [out, batch, atoms]."""
        grouped = agreement(capsules, self._input_pieces, self._kernel_pieces, self._groups)
        grouped = ops.transpose(grouped, (1, 2, 0, 3))  # [out, batch, groups, group]
        return ops.reshape(grouped, (capsules.shape[0], -1, self.kernel.shape[0]))


class StoredVotes:
    """Votes that exist as an array; the methods are those of `Votes`, in the array's dtype.

    Args:
        votes: û [batch, in, out, atoms].

    Raises:
        ValueError: the votes have another rank.
    """

    def __init__(self, votes):
        if len(votes.shape) != 4:
            raise ValueError(f"Votes have the shape [batch, in, out, atoms]. Received: {tuple(votes.shape)}")
        self._by_output = ops.transpose(votes, (2, 0, 1, 3))  # [out, batch, in, atoms]

    @property
    def coefficients_shape(self) -> tuple:
        """(out, batch, in): the shape of coupling coefficients and agreements."""
        return ops.shape(self._by_output)[:3]

    def sum(self):
        """Σ_i û_ij, [out, batch, atoms]."""
        return ops.sum(self._by_output, axis=2)

    def weighted_sum(self, coefficients):
        """Σ_i c_ij û_ij, [out, batch, atoms], of coefficients [out, batch, in]."""
        shares = ops.cast(coefficients, self._by_output.dtype)[:, :, None, :]  # [out, batch, 1, in]
        return ops.squeeze(ops.matmul(shares, self._by_output), axis=2)  # [out, batch, atoms]

    def agreement(self, capsules):
        """û_ij · v_j, [out, batch, in], with capsules v [out, batch, atoms]."""
        capsules = ops.cast(capsules, self._by_output.dtype)[..., None]  # [out, batch, atoms, 1]
        return ops.squeeze(ops.matmul(self._by_output, capsules), axis=3)  # [out, batch, in]


# The functions below divide the input capsules into groups and by their atoms: a piece is one atom of one group, and
# the pieces of a group follow one another. Shapes: inputs u [pieces, 1, batch, group]; kernel W [pieces, out, atoms,
# group]; coefficients c and agreements [groups, out, batch, group]; capsules v [out, batch, atoms]. The products have
# the dtype of the inputs, and everything else is float32.


def weighted_sum(coefficients, inputs, kernel):
    """s_j = Σ_i c_ij û_ij, float32 [out, batch, atoms]. Shapes: see the comment above."""
    return ops.custom_gradient(_weighted_sum)(coefficients, inputs, kernel)


def agreement(capsules, inputs, kernel, groups: int):
    """û_ij · v_j, float32 [groups, out, batch, group]. Shapes: see the comment above."""

    def function(capsules, inputs, kernel):
        return _agreement(capsules, inputs, kernel, groups)

    return ops.custom_gradient(function)(capsules, inputs, kernel)


def _weighted_sum(coefficients, inputs, kernel):
    shares = ops.cast(coefficients, inputs.dtype)

    def forward(u, w, c):
        return (_over_atoms(ops.matmul(c * u, _transposed(w))),)

    def gradient(*args, upstream=None):  # PyTorch names the upstream gradient, TensorFlow and JAX do not
        change = ops.cast(args[0] if upstream is None else upstream, inputs.dtype)

        def backward(u, w, c):
            back = ops.matmul(change, w)  # [pieces, out, batch, group]
            d_inputs = ops.sum(c * back, axis=1, keepdims=True)
            return _over_atoms(back * u), d_inputs, ops.matmul(_transposed(change), c * u)

        d_coefficients, d_inputs, d_kernel = _in_turn(backward, inputs, kernel, shares)
        return _by_group(d_coefficients, shares.shape[0]), ops.concatenate(d_inputs), ops.concatenate(d_kernel)

    return sum(*_in_turn(forward, inputs, kernel, shares)), gradient


def _agreement(capsules, inputs, kernel, groups: int):
    vectors = ops.cast(capsules, inputs.dtype)

    def forward(u, w):
        return (_over_atoms(ops.matmul(vectors, w) * u),)

    def gradient(*args, upstream=None):
        changes = ops.cast(args[0] if upstream is None else upstream, inputs.dtype)

        def backward(u, w, change):
            moved = change * u  # [pieces, out, batch, group]
            d_inputs = ops.sum(change * ops.matmul(vectors, w), axis=1, keepdims=True)
            return _over_atoms(ops.matmul(moved, _transposed(w))), d_inputs, ops.matmul(_transposed(vectors), moved)

        d_capsules, d_inputs, d_kernel = _in_turn(backward, inputs, kernel, changes)
        return sum(d_capsules), ops.concatenate(d_inputs), ops.concatenate(d_kernel)

    (agreements,) = _in_turn(forward, inputs, kernel)
    return _by_group(agreements, groups), gradient


def _over_atoms(terms):
    return ops.sum(ops.cast(terms, "float32"), axis=0)


def _transposed(matrices):
    return ops.swapaxes(matrices, -1, -2)


def _by_group(results: tuple, groups: int):
    """The sum over the atoms of each group, [groups, …], of results in the order of the pieces."""
    count = len(results) // groups
    return ops.stack([sum(results[group * count : (group + 1) * count]) for group in range(groups)])


# Bytes of the coefficients of a group, for the whole batch. Several such arrays are in use at the same time and should
# stay in a processor's cache; with smaller ones, the overhead of more groups is larger than the gain.
_GROUP_BYTES = 6e6


def _number_of_groups(batch: int | None, size: int, num_outputs: int) -> int:
    """The smallest number of equal groups of `size` input capsules that `_GROUP_BYTES` allows; see `_in_turn`."""
    if not is_tensorflow_on_cpu():
        return 1
    fitting = max(1.0, _GROUP_BYTES / (4 * num_outputs * (batch or NOMINAL_BATCH)))
    return next(groups for groups in range(1, size + 1) if size % groups == 0 and size / groups <= fitting)


def _in_turn(function: Callable, inputs, kernel, by_group=None) -> list[tuple]:
    """Calls `function` with the pieces of u and W; returns for each of its results a tuple with one entry per call.

    On a CPU, TensorFlow gets one piece per call and computes two pieces at a time. Arrays as large as the votes then
    stay in the cache, and a core that has finished its share of one piece continues with the other. Compilers and
    accelerators do better with all pieces in one call.

    Args:
        function: takes u, W and, if `by_group` is given, its entry for the piece's group.
        inputs, kernel: u and W.
        by_group: [groups, …], or None.
    """
    if not is_tensorflow_on_cpu():
        further = () if by_group is None else (by_group[0],)
        return [(result,) for result in function(inputs, kernel, *further)]
    import tensorflow as tf

    results: list = []
    pieces = inputs.shape[0]
    for piece in range(pieces):
        with tf.control_dependencies(results[-2] if len(results) > 1 else ()):
            u = tf.identity(inputs[piece : piece + 1])
        further = () if by_group is None else (by_group[piece * by_group.shape[0] // pieces],)
        results.append(function(u, kernel[piece : piece + 1], *further))
    return list(zip(*results, strict=True))
