"""What a network is and what its run was, as config.json says it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from input_data import Options
from models.hparams import PRESETS, HParams
from runner.run_config import NetworkFlags

_IDENTITY = ("model", "dataset", "num_targets", "validate", "seed", "batch_size", "precision")  # make it this run


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is, but for the size of its images and the names of its classes, which come from the data.

    Attributes: as the flags of the same names.
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
        """This network but for what the flags say of it; hparams are changed one by one."""
        names = ("model", "dataset", "num_targets", "image_size", "grayscale")
        given = {name: value for name in names if (value := getattr(flags, name)) is not None}
        hparams = self.hparams.override(PRESETS.get(flags.preset or "")).override(flags.hparams_override)
        return replace(self, hparams=hparams, **given)

    def differences(self, other: "NetworkSpec") -> list[str]:
        """The names of what is not the same, hparams left out."""
        return [each.name for each in fields(self) if each.name != "hparams" and
                getattr(self, each.name) != getattr(other, each.name)]  # fmt: skip


@dataclass(frozen=True)
class SavedConfig:
    """The content of a config.json.

    Attributes:
        network: what the network is.
        image_shape: (rows, columns, depth) of its images.
        class_names: one name a class.
        flags: those of the run, by name.
        versions: of Python and the packages that the run began with.
        git_commit: of the code, None outside a checkout.
        data: numbers by which the run knows its training data again, by name; none where they were not written.
        statistics: of the training images, see `input_data.Split`.
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
        """What makes a run this one, by name. A run of an older version lacks what that did not write."""
        return (
            asdict(self.network.hparams)
            | {name: self.flags[name] for name in _IDENTITY if name in self.flags}
            | {"images": list(self.image_shape), "classes": list(self.class_names)}
            | {f"data {name}": value for name, value in self.data.items()}
        )
