"""Reads and writes `config.json` beside the checkpoints of a run, which describes the network and the run.

The network can be used without further flags. One reader checks every field; the file is written completely or not at
all.
"""

import json
import math
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from input_data.flags import check
from input_data.formats.files import atomic_write
from models.hparams import HParams
from runner.network_spec import NetworkSpec, SavedConfig
from runner.run_config import RunConfig

_NAME = "config.json"
_LIMIT = 2**22  # bytes of a file
_MOST = {"rows": 4096, "columns": 4096, "depth": 64, "classes": 10_000, "letters": 200}
_REQUIRED_FLAGS = ("model", "dataset", "num_targets")
# The hparams of the first version that wrote a config. Later ones may be missing: the defaults keep the old behaviour.
_REQUIRED_HPARAMS = (
    *("decay_rate", "decay_steps", "leaky", "learning_rate", "loss_type", "num_prime_capsules", "padding", "remake"),
    *("routing", "verbose", "conv_channels", "primary_atoms", "class_atoms", "routing_gradient"),
)


def make(
    network: NetworkSpec,
    image_shape: tuple[int, int, int],
    class_names: tuple[str, ...],
    flags: Mapping[str, Any] = {},
    data: Mapping[str, int] = {},
    statistics: tuple[float, ...] = (),
) -> SavedConfig:
    """The config of a run that starts now.

    Args:
        network: the description of the network.
        image_shape: (rows, columns, depth) of its images.
        class_names: one name for each class.
        flags: the flags of the run; those that `network` also has are taken from there.
        data: numbers that identify the training data, by name.
        statistics: statistics of the training images.
    """
    import keras
    import numpy
    import tensorflow

    own = {name: value for name, value in asdict(network).items() if name != "hparams"}
    versions = {
        "python": platform.python_version(),
        "tensorflow": tensorflow.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
    }
    flags = {**flags, **own}
    return SavedConfig(network, image_shape, class_names, flags, versions, _git_commit(), data, statistics)


def _git_commit() -> str | None:
    here = Path(__file__).resolve().parent
    try:
        command = ["git", "rev-parse", "HEAD"]
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # not a checkout


def write(folder: Path, config: SavedConfig) -> None:
    """Writes the config, completely or not at all."""
    content = {
        "flags": dict(config.flags),
        "hparams": asdict(config.network.hparams),
        "image_shape": list(config.image_shape),
        "class_names": list(config.class_names),
        "versions": dict(config.versions),
        "git_commit": config.git_commit,
        "data": dict(config.data),
        "statistics": list(config.statistics),
    }
    with atomic_write(Path(folder) / _NAME) as (draft,):
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> SavedConfig | None:
    """The config in a folder; None if there is none.

    Raises:
        ValueError: it is damaged or of another version; the message names the file and the field.
    """
    path = Path(folder) / _NAME
    if not path.is_file():
        return None
    try:
        return _parse(_load(path))
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged or of another version: {error}. Repair it, or move it away and describe the network "
            "with flags."
        ) from None


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        content = file.read(_LIMIT + 1)
    if len(content) > _LIMIT:
        raise ValueError(f"it is larger than {_LIMIT:,} bytes")
    try:
        return json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"it has the field {name!r} twice")
    return dict(pairs)


def _no_number(text: str):
    raise ValueError(f"{text} is not a number")


def _parse(content: Any) -> SavedConfig:
    """The config in JSON content; raises a ValueError that names the first wrong field."""
    required = {"flags": dict, "hparams": dict, "image_shape": list, "class_names": list}
    optional = {"versions": dict, "git_commit": str | None, "data": dict, "statistics": list}
    _check_object("it", content, {**required, **optional}, required)
    flags = content["flags"]
    declared = {each.name: each for each in fields(RunConfig)}
    _check_names("flags", flags, declared, _REQUIRED_FLAGS)
    for name, value in flags.items():
        try:
            check(declared[name], value)
        except ValueError as error:
            raise ValueError(f"flags.{name}: {error}") from None
        if value is None and name in _REQUIRED_FLAGS:
            raise ValueError(f"flags.{name} is null")
    class_names = _parse_class_names(content["class_names"])
    if flags["num_targets"] > len(class_names):
        raise ValueError(f"flags.num_targets is {flags['num_targets']} and there are {len(class_names)} classes")
    network = NetworkSpec(
        flags["model"],
        _parse_hparams(content["hparams"]),
        flags["dataset"],
        flags["num_targets"],
        flags.get("image_size"),
        bool(flags.get("grayscale")),
    )
    versions = content.get("versions", {})
    _check_object("versions", versions, dict.fromkeys(versions, str), ())
    data = content.get("data", {})
    _check_object("data", data, dict.fromkeys(data, int), ())
    shape = _parse_image_shape(content["image_shape"])
    statistics = _parse_statistics(content.get("statistics", []))
    return SavedConfig(network, shape, class_names, flags, versions, content.get("git_commit"), data, statistics)


def _check_names(where: str, content: dict, allowed, required) -> None:
    for name in content:
        if name not in allowed:
            raise ValueError(f"{where} has an unknown field {name!r}")
    for name in required:
        if name not in content:
            raise ValueError(f"{where} has no {name}")


def _check_object(where: str, content: Any, types: dict, required) -> None:
    """Checks that JSON content is an object with fields of these types only, and has at least those in `required`."""
    if not isinstance(content, dict):
        raise ValueError(f"{where} should be an object and is {_shown(content)}")
    _check_names(where, content, types, required)
    for name, value in content.items():
        # In Python True is an int, but in JSON it is not a number. A whole number is accepted for any number.
        wrong = not isinstance(value, types[name]) or (isinstance(value, bool) and types[name] is not bool)
        if wrong and not (types[name] is float and type(value) is int):
            raise ValueError(f"{where}.{name} should be {_TYPE_NAMES.get(types[name], 'text')} and is {_shown(value)}")


_TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _parse_hparams(content: dict) -> HParams:
    types = {each.name: each.type for each in fields(HParams)}
    _check_object("hparams", content, types, _REQUIRED_HPARAMS)
    return HParams(**content)


def _parse_statistics(content: list) -> tuple[float, ...]:
    # JSON may hold 1e999, which is infinite in Python.
    finite = all(type(value) is float and math.isfinite(value) for value in content)
    if content and not (len(content) == 4 and finite and min(content[2:]) > 0):
        raise ValueError(f"statistics should be two means and two deviations above 0 and are {_shown(content)}")
    return tuple(content)


def _parse_image_shape(content: list) -> tuple[int, int, int]:
    sides = ("rows", "columns", "depth")
    whole_numbers = len(content) == 3 and all(type(size) is int for size in content)
    if not whole_numbers or not all(1 <= n <= _MOST[side] for n, side in zip(content, sides, strict=True)):
        limits = ", ".join(f"{side} up to {_MOST[side]}" for side in sides)
        raise ValueError(f"image_shape should be three whole numbers ({limits}) and is {_shown(content)}")
    rows, columns, depth = content
    return rows, columns, depth


def _parse_class_names(content: list) -> tuple[str, ...]:
    if not 2 <= len(content) <= _MOST["classes"]:
        raise ValueError(f"class_names should have 2 to {_MOST['classes']:,} names and has {len(content)}")
    for index, name in enumerate(content):
        if not isinstance(name, str) or not 0 < len(name) <= _MOST["letters"] or not name.isprintable():
            raise ValueError(
                f"class_names[{index}] should be a printable name of 1 to {_MOST['letters']} letters "
                f"and is {_shown(name)}"
            )
    if len(set(content)) < len(content):
        raise ValueError("class_names has the same name twice")
    return tuple(content)


def check_same_run(old: SavedConfig, new: SavedConfig, folder: Path) -> None:
    """Raises ValueError, naming the differences, if a run would be resumed with another config."""
    before, after = old.identity(), new.identity()
    different = [
        f"{name} was {before[name]} and is now {after[name]}"
        for name in after
        if name in before and before[name] != after[name]
    ]
    if different:
        raise ValueError(
            f"The run in {folder} differs: {'; '.join(different)}. "
            "Resume it with the same flags, or give another --summary_dir."
        )
