"""Networks whose class capsules a plain reader of the paper would write: every vote û_ij = u_i W_ij is stored.

Three ways to make the votes, each as a capsule layer and the CapsNet that uses it, to measure ours against.
"""

from keras import ops

from capsules import Capsules
from capsules.votes import StoredVotes
from models.capsnet import CapsNet


class _CapsulesOfStoredVotes(Capsules):
    def compute_votes(self, inputs):
        """See `Capsules`."""
        _, size, atoms_in = inputs.shape
        kernel = ops.cast(self.kernel, inputs.dtype)
        kernel = ops.reshape(kernel, (size, atoms_in, self.num_capsules, self.atoms))
        return StoredVotes(self.stored_votes(inputs, kernel))

    def stored_votes(self, inputs, kernel):
        """Votes [batch, in, out, atoms] of inputs [batch, in, atoms_in] by a kernel [in, atoms_in, out, atoms]."""
        raise NotImplementedError


class _TileVotes(_CapsulesOfStoredVotes):
    """Tile the inputs over the output atoms, multiply by the kernel, sum: as the code of 2017 did."""

    def stored_votes(self, inputs, kernel):
        """See `_CapsulesOfStoredVotes`."""
        _, size, atoms_in, out, atoms = (None, *kernel.shape)
        tiled = ops.tile(inputs[..., None], (1, 1, 1, out * atoms))  # [batch, in, atoms_in, out·atoms]
        total = ops.sum(tiled * ops.reshape(kernel, (size, atoms_in, out * atoms)), axis=2)
        return ops.reshape(total, (-1, size, out, atoms))


class _EinsumVotes(_CapsulesOfStoredVotes):
    """One einsum."""

    def stored_votes(self, inputs, kernel):
        """See `_CapsulesOfStoredVotes`."""
        return ops.einsum("bia,iajd->bijd", inputs, kernel)


class _MatmulVotes(_CapsulesOfStoredVotes):
    """A matrix product for each example and input capsule."""

    def stored_votes(self, inputs, kernel):
        """See `_CapsulesOfStoredVotes`."""
        size, atoms_in, out, atoms = kernel.shape
        rows = inputs[:, :, None, :]  # [batch, in, 1, atoms_in]
        total = ops.matmul(rows, ops.reshape(kernel, (size, atoms_in, out * atoms)))  # [batch, in, 1, out·atoms]
        return ops.reshape(total, (-1, size, out, atoms))


class TileCapsNet(CapsNet):
    """CapsNet with votes by tiling, as in 2017."""

    capsule_layer = _TileVotes


class EinsumCapsNet(CapsNet):
    """CapsNet with votes by one einsum."""

    capsule_layer = _EinsumVotes


class MatmulCapsNet(CapsNet):
    """CapsNet with votes by many matrix products."""

    capsule_layer = _MatmulVotes


STORED_VOTES = {"tile": TileCapsNet, "einsum": EinsumCapsNet, "matmul": MatmulCapsNet}
