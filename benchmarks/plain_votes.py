"""Class capsules as a plain reader of the paper writes them: every vote û_ij = u_i W_ij is stored, then routed.

Three ways to make the votes, each a drop-in for `capsules.Capsules`, to measure ours against.
"""

from keras import ops

from capsules import Capsules, dynamic_routing


class _StoredVotes(Capsules):
    def call(self, inputs):
        _, size, atoms_in = inputs.shape
        kernel = ops.cast(self.kernel, inputs.dtype)
        votes = self.votes(inputs, ops.reshape(kernel, (size, atoms_in, self.num_capsules, self.atoms)))
        return dynamic_routing(votes, self.routing, self.leaky, self.bias, self.gradient)

    def votes(self, inputs, kernel):
        """Votes [batch, in, out, atoms] of inputs [batch, in, atoms_in] by a kernel [in, atoms_in, out, atoms]."""
        raise NotImplementedError


class TileVotes(_StoredVotes):
    """Tile the inputs over the output atoms, multiply by the kernel, sum: as the code of 2017 did."""

    def votes(self, inputs, kernel):
        """See `_StoredVotes`."""
        _, size, atoms_in, out, atoms = (None, *kernel.shape)
        tiled = ops.tile(inputs[..., None], (1, 1, 1, out * atoms))  # [batch, in, atoms_in, out·atoms]
        total = ops.sum(tiled * ops.reshape(kernel, (size, atoms_in, out * atoms)), axis=2)
        return ops.reshape(total, (-1, size, out, atoms))


class EinsumVotes(_StoredVotes):
    """One einsum."""

    def votes(self, inputs, kernel):
        """See `_StoredVotes`."""
        return ops.einsum("bia,iajd->bijd", inputs, kernel)


class MatmulVotes(_StoredVotes):
    """A matrix product for each example and input capsule."""

    def votes(self, inputs, kernel):
        """See `_StoredVotes`."""
        size, atoms_in, out, atoms = kernel.shape
        rows = inputs[:, :, None, :]  # [batch, in, 1, atoms_in]
        total = ops.matmul(rows, ops.reshape(kernel, (size, atoms_in, out * atoms)))  # [batch, in, 1, out·atoms]
        return ops.reshape(total, (-1, size, out, atoms))


VOTES = {"ours": Capsules, "tile": TileVotes, "einsum": EinsumVotes, "matmul": MatmulVotes}
