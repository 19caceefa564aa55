"""Capsules routed by self-attention (Mazzia, Salvetti, Chiaberge 2021)."""

from typing import Any

import keras

from capsules.layers import Capsules
from capsules.routing import Routing, self_attention_routing


@keras.saving.register_keras_serializable("capsules")
class SelfAttentionCapsules(Capsules):
    """Fully connected capsules, routed by self-attention in one pass without iterations.

    The votes û_ij = u_i W_ij are never stored; see `capsules.routing.self_attention_routing` for the formula.

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet: capsule network with self-attention routing",
    Scientific Reports 11:14634, 2021 (arXiv:2101.12491).

    Args:
        num_capsules: number of output capsules (the classes).
        atoms: length of each output capsule (16 in the paper).
        kernel_initializer, …: see `CapsuleLayer`; the defaults are the paper's, he_normal and zeros.

    Input: [batch, in, atoms_in]. Output: [batch, num_capsules, atoms].

    Raises:
        ValueError: an argument is out of range, or the input is not [batch, in, atoms_in] of the size that the layer
            was built for.

    Example:
        >>> tuple(SelfAttentionCapsules(10)(keras.random.normal((2, 16, 8))).shape)
        (2, 10, 16)
    """

    def __init__(self, num_capsules: int, atoms: int = 16, **kwargs: Any):
        super().__init__(num_capsules, atoms, **kwargs)

    def default_kernel(self) -> keras.initializers.Initializer:
        # The paper's he_normal of a kernel [out, in, atoms_in, atoms], whose fan-in is out·in·atoms_in.
        return keras.initializers.VarianceScaling(2.0 / self.num_capsules, "fan_in", "truncated_normal")

    def default_bias(self) -> keras.initializers.Initializer:
        return keras.initializers.Zeros()

    def build(self, input_shape: tuple) -> None:
        self.check_input(input_shape)
        _, inputs, atoms_in = input_shape
        self.add_kernel_and_bias((inputs, atoms_in, self.num_capsules * self.atoms), (self.num_capsules, inputs))

    def make_routing(self) -> Routing:
        """See `Capsules`."""
        return self_attention_routing

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("routing", "leaky", "gradient"):  # only for routing by agreement
            del config[name]
        return config
