"""Reads the weights of a pretrained network as if they were a checkpoint."""

from pathlib import Path

import numpy as np

from models import pretrained
from runner.bundle import DamagedCheckpoint


class Shipped:
    """The weights of a pretrained network, with the methods of a `Bundle` that `checkpoints.restore` needs.

    Args:
        prefix: the path of a `weights.npz` in a folder of `pretrained/`.

    Attributes:
        entries: each variable's value by its name, float32.

    Raises:
        ValueError: a file is missing or damaged.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.entries = pretrained.read_weights(Path(prefix).parent)

    @staticmethod
    def is_named(checkpoint: str) -> bool:
        """Whether a checkpoint's resolved name is that of a pretrained network."""
        return Path(checkpoint).name == pretrained.WEIGHTS

    def damaged(self, reason: str) -> DamagedCheckpoint:
        """The error for damaged weights."""
        return DamagedCheckpoint(f"{self.prefix} is damaged: {reason}.")

    def read(self, name: str) -> np.ndarray:
        """A variable's value."""
        return self.entries[name]
