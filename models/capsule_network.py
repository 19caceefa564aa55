"""The base class of networks with class capsules, which draw images from them."""

from typing import Any

from keras import ops

from .classifier import Classifier


class CapsuleNetwork(Classifier):
    """A network whose outputs have "capsules" [batch, classes, atoms].

    Attributes:
        primary: the layer of primary capsules.
        classes: the layer that routes them to the class capsules.
        decoder: the layer that draws an image from a class capsule, or None.
    """

    has_capsules = True
    score_name = "length"

    def scores(self, logits):
        return logits  # a capsule's length is its probability (paper, section 2), whatever the loss

    def remake(self, outputs: dict, labels) -> list:
        if self.decoder is None:
            return []
        masks = ops.one_hot(labels, self.num_classes)  # [batch, num_targets, classes]
        return [self.decoder(outputs["capsules"], masks[:, index]) for index in range(labels.shape[1])]

    def primary_capsules(self, images):
        """The primary capsules of images, [batch, in, atoms]."""
        return self.activations(images)[self.primary.name]

    def named_decoder_variables(self) -> dict[str, Any]:
        """The decoder's weights by their names in a checkpoint, in order."""
        named: dict[str, Any] = {}
        for layer in self.decoder.stack if self.decoder else ():
            named[f"recons/{layer.name}/weights"] = layer.kernel
            named[f"recons/{layer.name}/biases"] = layer.bias
        return named
