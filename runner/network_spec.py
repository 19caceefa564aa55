"""The content of config.json: a description of a network and of its run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from input_data import Options
from models.hparams import PRESETS, HParams
from runner.run_config import NetworkFlags

_IDENTITY = (
    "model",
    "dataset",
    "num_targets",
    "validate",
    "seed",
    "batch_size",
    "precision",
)  # flags that a resumed run must repeat


@dataclass(frozen=True)
class NetworkSpec:
    """The description of a network, without the image size and class names, which come from the data.

    The attributes are the flags of the same names.
    """

    model: str = "capsule"
    hparams: HParams = field(default_factory=HParams)
    dataset: str = "mnist"
    num_targets: int = 1
    image_size: int | None = None
    grayscale: bool = False

    def options(self, num_pairs: int = 1, statistics: tuple[float, ...] = ()) -> Options:
        """How to read the network's data; arguments as the fields of `Options`."""
        preparation = self.hparams.preparation
        return Options(self.num_targets, num_pairs, self.image_size, self.grayscale, preparation, statistics)

    def with_flags(self, flags: NetworkFlags) -> "NetworkSpec":
        """This network with the changes that the flags ask for; hparams are changed one by one."""
        names = ("model", "dataset", "num_targets", "image_size", "grayscale")
        given = {name: value for name in names if (value := getattr(flags, name)) is not None}
        hparams = self.hparams.override(PRESETS.get(flags.preset or "")).override(flags.hparams_override)
        return replace(self, hparams=hparams, **given)

    def differences(self, other: "NetworkSpec") -> list[str]:
        """The names of the attributes that differ, without hparams."""
        return [each.name for each in fields(self) if each.name != "hparams" and
                getattr(self, each.name) != getattr(other, each.name)]  # fmt: skip


@dataclass(frozen=True)
class SavedConfig:
    """The content of a config.json.

    Attributes:
        network: the description of the network.
        image_shape: (rows, columns, depth) of its images.
        class_names: one name for each class.
        flags: the flags of the run, by name.
        versions: versions of Python and of packages when the run started.
        git_commit: commit of the code; None outside a checkout.
        data: numbers that identify the training data, by name; empty if they were not written.
        statistics: statistics of the training images, see `input_data.Split`.
    """

    network: NetworkSpec
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    flags: Mapping[str, Any]
    versions: Mapping[str, str]
    git_commit: str | None = None
    data: Mapping[str, int] = field(default_factory=dict)
    statistics: tuple[float, ...] = ()

    def identity(self) -> dict[str, Any]:
        """The values that must not change when a run resumes, by name; older versions wrote fewer of them."""
        return (
            asdict(self.network.hparams)
            | {name: self.flags[name] for name in _IDENTITY if name in self.flags}
            | {"images": list(self.image_shape), "classes": list(self.class_names)}
            | {f"data {name}": value for name, value in self.data.items()}
        )
