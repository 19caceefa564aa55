"""`NetworkConfig`: the description of a network and its run, exactly as in `config.json`."""

import json
import platform
import subprocess
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
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
# What may not differ, by name: between flags and a config, between a run and its continuation, between the members of
# an ensemble, and between compared networks.
FLAGS = (*_NETWORK,)
RUN = (*_NETWORK, "validate", "seed", "batch_size", "precision", "images", "classes")
ENSEMBLE = ("dataset", "num_targets", "images", "classes")


@dataclass(frozen=True)
class NetworkConfig:
    """The description of a network and its run. Without arguments, the network of the flags' defaults.

    Attributes:
        flags, hparams: the flags of the run by name, at least those that describe the network, and its hyperparameters.
        image_shape, class_names: (rows, columns, depth), and a name for each class; empty until the data are known.
        versions, git_commit: of Python and packages when the run started, and of the code; None outside a checkout.
        data, statistics: numbers that identify the training data, and statistics of them, see `input_data.Split`.
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
        sizes = self.num_targets, num_pairs, self.image_size, bool(self.grayscale)
        return Options(*sizes, self.hparams.preparation, self.statistics)

    def for_run(self, flags: Mapping[str, Any], split: Split) -> "NetworkConfig":
        """The config of a run that starts now with these flags and this training split."""
        import keras
        import numpy
        import tensorflow

        versions = {module.__name__: module.__version__ for module in (tensorflow, keras, numpy)}
        own = {name: getattr(self, name) for name in _NETWORK}
        for name in ("preset", "hparams_override"):  # what a resumed run leaves out, its first command gave
            own[name] = flags.get(name) if flags.get(name) is not None else self.flags.get(name)
        return replace(
            self.for_data(split), flags={**flags, **own}, versions={"python": platform.python_version()} | versions,
            git_commit=_git_commit(), data={"examples": len(split), "checksum": split.checksum()},
            statistics=tuple(split.statistics),
        )  # fmt: skip

    def for_data(self, split: Split) -> "NetworkConfig":
        """This network for the images and classes of a split."""
        return replace(self, image_shape=tuple(split.info.image_shape), class_names=tuple(split.info.class_names))

    def values(self) -> dict[str, Any]:
        """Everything that may make two networks or runs differ, by name."""
        return (
            {**_NETWORK, **self.flags}
            | {"images": "x".join(map(str, self.image_shape)), "classes": list(self.class_names)}
            | {name: value for name, value in asdict(self.hparams).items() if name != "verbose"}
            | {f"data {name}": value for name, value in self.data.items()}
        )

    def identity(self) -> list[str]:
        """The names of the values that a run repeats when it resumes, and that all machines of a job share."""
        return [*RUN, *(name for name in self.values() if hasattr(self.hparams, name) or name.startswith("data "))]


def conflicts(one: Mapping[str, Any], other: Mapping[str, Any], names: Collection[str]) -> list[tuple[str, Any, Any]]:
    """The (name, value, other value) of these names whose values differ; a name that one of both lacks is left out."""
    both = (name for name in names if name in one and name in other)
    return [(name, one[name], other[name]) for name in both if one[name] != other[name]]


def in_words(differences: list[tuple[str, Any, Any]], template: str = "{0} was {1} and is now {2}") -> str:
    """Differences as a part of a sentence."""
    return "; ".join(template.format(*difference) for difference in differences)


def _git_commit() -> str | None:
    with suppress(OSError):  # git is not installed
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
        return done.stdout.strip() or None  # nothing: not a checkout
    return None


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
        content = json.loads(path.read_bytes())
        lists = {name: tuple(content[name]) for name in ("image_shape", "class_names")}
        if len(lists["image_shape"]) != 3:
            raise ValueError(f"image_shape is {lists['image_shape']}")
        lists["statistics"] = tuple(content.get("statistics", ()))
        made = {"flags": dict(content["flags"]), "hparams": HParams(**content["hparams"])}
        return NetworkConfig(**content | lists | made)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged or of another version: {error}. Repair it, or move it away and describe the network "
            "with flags."
        ) from None
