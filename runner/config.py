"""`NetworkConfig`: the description of a network and its run, exactly as in `config.json`."""

import json
import platform
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from input_data import Options, Split
from input_data.formats.files import atomic_write
from models.hparams import PRESETS, HParams
from runner.flags import UserError, user_errors
from runner.run_config import NetworkFlags

_NAME = "config.json"
# The flags that describe a network, with their defaults.
_NETWORK = {"model": "capsule", "dataset": "mnist", "num_targets": 1, "image_size": None, "grayscale": False}
_HARMLESS = {"verbose"}  # hparams that may change when a run resumes
# What may not differ, by name: between flags and a config, between a run and its continuation, between the members of
# an ensemble, and between compared networks.
FLAGS = (*_NETWORK,)
RUN = (*_NETWORK, "validate", "seed", "batch_size", "precision", "images", "classes")
ENSEMBLE = ("dataset", "num_targets", "images", "classes")
COMPARED = ("num_targets", "images", "classes")


@dataclass(frozen=True)
class NetworkConfig:
    """The description of a network and its run. Without arguments, the network of the flags' defaults.

    Attributes:
        flags: the flags of the run by name; at least those that describe the network.
        hparams: its hyperparameters.
        image_shape: (rows, columns, depth) of its images; empty until the data are known.
        class_names: one name for each class; empty until the data are known.
        versions: versions of Python and of packages when the run started.
        git_commit: commit of the code; None outside a checkout.
        data: numbers that identify the training data, by name.
        statistics: statistics of the training images, see `input_data.Split`.
        model_sha256: the checksum of the file of a network of the user's own.
    """

    flags: Mapping[str, Any] = field(default_factory=lambda: dict(_NETWORK))
    hparams: HParams = field(default_factory=HParams)
    image_shape: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    data: Mapping[str, int] = field(default_factory=dict)
    statistics: tuple[float, ...] = ()
    model_sha256: str | None = None

    def __getattr__(self, name: str) -> Any:
        """`config.model`, `config.dataset` and the other flags that describe the network."""
        if name not in _NETWORK:
            raise AttributeError(name)
        return self.flags.get(name, _NETWORK[name])

    def with_flags(self, flags: NetworkFlags) -> "NetworkConfig":
        """This network with the changes that the flags ask for; hparams are changed one by one."""
        given = {name: value for name in _NETWORK if (value := getattr(flags, name)) is not None}
        with user_errors():
            hparams = self.hparams.override(PRESETS.get(flags.preset or "")).override(flags.hparams_override)
        return replace(self, flags={**self.flags, **given}, hparams=hparams)

    def options(self, num_pairs: int = 1) -> Options:
        """How to read the network's data."""
        return Options(
            self.num_targets, num_pairs, self.image_size, bool(self.grayscale), self.hparams.preparation,
            self.statistics,
        )  # fmt: skip

    def for_run(self, flags: Mapping[str, Any], split: Split) -> "NetworkConfig":
        """The config of a run that starts now with these flags and this training split."""
        import keras
        import numpy
        import tensorflow

        versions = {"python": platform.python_version()} | {
            module.__name__: module.__version__ for module in (tensorflow, keras, numpy)
        }
        own = {name: getattr(self, name) for name in _NETWORK}
        for name in ("preset", "hparams_override"):  # what a resumed run leaves out, its first command gave
            own[name] = flags.get(name) if flags.get(name) is not None else self.flags.get(name)
        data = {"examples": len(split), "checksum": split.checksum()}
        return replace(self.for_data(split), flags={**flags, **own}, versions=versions, git_commit=_git_commit(),
                       data=data, statistics=tuple(split.statistics))  # fmt: skip

    def for_data(self, split: Split) -> "NetworkConfig":
        """This network for the images and classes of a split."""
        return replace(self, image_shape=tuple(split.info.image_shape), class_names=tuple(split.info.class_names))

    def values(self) -> dict[str, Any]:
        """Everything that may make two networks or runs differ, by name."""
        return (
            {**_NETWORK, **self.flags}
            | {"images": "x".join(map(str, self.image_shape)), "classes": list(self.class_names)}
            | {name: value for name, value in asdict(self.hparams).items() if name not in _HARMLESS}
            | {f"data {name}": value for name, value in self.data.items()}
        )

    def identity(self) -> list[str]:
        """The names of the values that a run repeats when it resumes, and that all machines of a job share."""
        named = (name for name in self.values() if hasattr(self.hparams, name) or name.startswith("data "))
        return [*RUN, *named]


def conflicts(one: Mapping[str, Any], other: Mapping[str, Any], names: Collection[str]) -> list[tuple[str, Any, Any]]:
    """The (name, value, other value) of these names whose values differ; a name that one of both lacks is left out."""
    both = (name for name in names if name in one and name in other)
    return [(name, one[name], other[name]) for name in both if one[name] != other[name]]


def in_words(differences: list[tuple[str, Any, Any]], template: str = "{0} was {1} and is now {2}") -> str:
    """Differences as a part of a sentence; of long lists of classes only the first that differ."""
    return "; ".join(template.format(*map(str, difference)) for difference in differences)


def _git_commit() -> str | None:
    here = Path(__file__).resolve().parent
    try:
        command = ["git", "rev-parse", "HEAD"]
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # not a checkout


def write(folder: Path, config: NetworkConfig) -> None:
    """Writes the config, completely or not at all."""
    content = asdict(config) | {"flags": {**_NETWORK, **config.flags}}
    with atomic_write(Path(folder) / _NAME) as (draft,):
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> NetworkConfig | None:
    """The config in a folder; None if there is none. A field that an older version did not write has its default."""
    path = Path(folder) / _NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes().decode())
        known = {each.name for each in fields(NetworkConfig)}
        if unknown := set(content) - known:
            raise ValueError(f"it has an unknown field {min(unknown)!r}")
        for name in ("flags", "hparams", "image_shape", "class_names"):
            if name not in content:
                raise ValueError(f"it has no {name}")
        shape = tuple(content["image_shape"])
        if len(shape) != 3 or not all(type(size) is int and size > 0 for size in shape):
            raise ValueError(f"image_shape is {shape}")
        class_names = tuple(content["class_names"])
        if not all(isinstance(name, str) for name in class_names) or len(set(class_names)) < len(class_names):
            raise ValueError("class_names should be different names")
        lists = {"image_shape": shape, "class_names": class_names, "statistics": tuple(content.get("statistics", ()))}
        return NetworkConfig(**content | lists | {"hparams": HParams(**content["hparams"])})
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged or of another version: {error}. Repair it, or move it away and describe the network "
            "with flags."
        ) from None
