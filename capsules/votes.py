"""The votes û_ij = u_i W_ij of input capsules for output capsules, and what a routing asks of them.

`Votes` never stores a vote, forwards or backwards. The weighted sum of the votes is s_j = Σ_i c_ij u_i W_ij, and their
agreement with v_j is u_i · (W_ij v_j): matrix products over the input capsules, one for each atom of theirs. Each is
the other's gradient with respect to its first argument, so both passes are made of the same few products, and nothing
is kept for the backward pass but the arguments: what is as large as the votes is computed again, which costs less than
writing it and reading it back. `StoredVotes` answers the same questions of votes that exist as an array.
"""

from collections.abc import Callable

import keras
from keras import ops


class Votes:
    """Votes that are never stored.

    Args:
        inputs: the input capsules u [batch, in, atoms_in].
        kernel: the weights W [in, atoms_in, out, atoms], in the dtype of `inputs`.
    """

    def __init__(self, inputs, kernel):
        self.inputs, self.kernel = inputs, kernel
        self._inputs_by_atom = ops.transpose(inputs, (2, 0, 1))[:, None]  # [atoms_in, 1, batch, in]
        self._kernel_by_atom = ops.transpose(kernel, (1, 2, 0, 3))  # [atoms_in, out, in, atoms]

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
        return weighted_sum(coefficients, self._inputs_by_atom, self._kernel_by_atom)

    def agreement(self, capsules):
        """û_ij · v_j, float32 [out, batch, in], with capsules v [out, batch, atoms]."""
        return agreement(capsules, self._inputs_by_atom, self._kernel_by_atom)


class StoredVotes:
    """Votes that exist as an array; the methods are those of `Votes`, in the array's dtype.

    Args:
        votes: û [batch, in, out, atoms].

    Raises:
        ValueError: votes of another rank.
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


# Shapes of the functions below: inputs u [atoms_in, 1, batch, in]; kernel W [atoms_in, out, in, atoms]; coefficients c
# [out, batch, in] and capsules v [out, batch, atoms], both float32. The products are in the dtype of the inputs.


def weighted_sum(coefficients, inputs, kernel):
    """s_j = Σ_i c_ij û_ij, float32 [out, batch, atoms]. Shapes: see the comment above."""
    return ops.custom_gradient(_weighted_sum)(coefficients, inputs, kernel)


def agreement(capsules, inputs, kernel):
    """û_ij · v_j, float32 [out, batch, in]. Shapes: see the comment above."""
    return ops.custom_gradient(_agreement)(capsules, inputs, kernel)


def _weighted_sum(coefficients, inputs, kernel):
    shares = ops.cast(coefficients, inputs.dtype)

    def forward(u, w):
        return (_over_atoms(ops.matmul(shares * u, w)),)

    def gradient(*args, upstream=None):  # PyTorch names the upstream gradient, TensorFlow and JAX do not
        change = ops.cast(args[0] if upstream is None else upstream, inputs.dtype)

        def backward(u, w):
            back = ops.matmul(change, _transposed(w))  # [atoms_in, out, batch, in]
            d_inputs = ops.sum(shares * back, axis=1, keepdims=True)
            return _over_atoms(back * u), d_inputs, ops.matmul(_transposed(shares * u), change)

        d_coefficients, d_inputs, d_kernel = _in_turn(backward, inputs, kernel)
        return sum(d_coefficients), ops.concatenate(d_inputs), ops.concatenate(d_kernel)

    return sum(*_in_turn(forward, inputs, kernel)), gradient


def _agreement(capsules, inputs, kernel):
    vectors = ops.cast(capsules, inputs.dtype)

    def forward(u, w):
        return (_over_atoms(ops.matmul(vectors, _transposed(w)) * u),)

    def gradient(*args, upstream=None):
        change = ops.cast(args[0] if upstream is None else upstream, inputs.dtype)

        def backward(u, w):
            moved = change * u  # [atoms_in, out, batch, in]
            d_inputs = ops.sum(change * ops.matmul(vectors, _transposed(w)), axis=1, keepdims=True)
            return _over_atoms(ops.matmul(moved, w)), d_inputs, ops.matmul(_transposed(moved), vectors)

        d_capsules, d_inputs, d_kernel = _in_turn(backward, inputs, kernel)
        return sum(d_capsules), ops.concatenate(d_inputs), ops.concatenate(d_kernel)

    return sum(*_in_turn(forward, inputs, kernel)), gradient


def _over_atoms(terms):
    return ops.sum(ops.cast(terms, "float32"), axis=0)


def _transposed(matrices):
    return ops.swapaxes(matrices, -1, -2)


def _in_turn(function: Callable, inputs, kernel) -> list[tuple]:
    """Gives `function` the atoms of u and W, and for each of its results a tuple with one entry a call.

    TensorFlow on a CPU gets one atom a call, and two atoms at a time: what is as large as the votes then stays in the
    cache, and a core that has finished its share of one atom goes on with the other. Compilers and accelerators do
    better with all atoms at once.
    """
    if not _is_tensorflow_on_cpu():
        return [(result,) for result in function(inputs, kernel)]
    import tensorflow as tf

    results: list = []
    for atom in range(inputs.shape[0]):
        with tf.control_dependencies(results[-2] if len(results) > 1 else ()):
            u = tf.identity(inputs[atom : atom + 1])
        results.append(function(u, kernel[atom : atom + 1]))
    return list(zip(*results, strict=True))


def _is_tensorflow_on_cpu() -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")
