"""The weights of a network that ships, read as if they were those of a checkpoint."""

from pathlib import Path

import numpy as np

from models import pretrained
from runner.bundle import DamagedCheckpoint


class Shipped:
    """What `checkpoints.restore` asks of a `Bundle`, of the `weights.npz` in a folder of `pretrained/`.

    Args:
        prefix: the path of that file.

    Attributes:
        entries: each variable's value by its name, float32.

    Raises:
        ValueError: a file that is missing or damaged.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.entries = pretrained.read_weights(Path(prefix).parent)

    @staticmethod
    def is_named(checkpoint: str) -> bool:
        """Whether a checkpoint's resolved name is that of a network that ships."""
        return Path(checkpoint).name == pretrained.WEIGHTS

    def damaged(self, reason: str) -> DamagedCheckpoint:
        """The error that says so."""
        return DamagedCheckpoint(f"{self.prefix} is damaged: {reason}.")

    def read(self, name: str) -> np.ndarray:
        """A variable's value."""
        return self.entries[name]
