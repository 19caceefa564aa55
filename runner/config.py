"""`summary_dir/train/config.json`: what a run is, so that it explains itself and is not resumed as another."""

import json
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path

from input_data.formats.files import atomic_write
from models.hparams import HParams

_NAME = "config.json"
# Flags that make it this run.
_IDENTITY = ("model", "dataset", "num_targets", "validate", "seed", "batch_size", "precision")


def make(flags: dict, hparams: HParams, class_names: tuple[str, ...], image_shape: tuple[int, ...]) -> dict:
    """The config of a run: flags, hparams, classes, versions and git commit."""
    import keras
    import numpy
    import tensorflow

    return {
        "flags": flags,
        "hparams": asdict(hparams),
        "image_shape": list(image_shape),
        "class_names": list(class_names),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tensorflow.__version__,
            "keras": keras.__version__,
            "numpy": numpy.__version__,
        },
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    here = Path(__file__).resolve().parent
    try:
        command = ["git", "rev-parse", "HEAD"]
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # not a checkout


def read(folder: Path) -> dict | None:
    """The config in a folder, None where there is none; ValueError where it is damaged."""
    path = Path(folder) / _NAME
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. Delete it to go on without its checks.") from None


def write(folder: Path, config: dict) -> None:
    """Writes the config, whole or not at all."""
    with atomic_write(Path(folder) / _NAME) as (draft,):
        draft.write_text(json.dumps(config, indent=1) + "\n")


def identity(config: dict) -> dict:
    """What makes a run this one, by name; a run of an older version lacks what that did not write."""
    return (
        config["hparams"]
        | {name: config["flags"][name] for name in _IDENTITY if name in config["flags"]}
        | {"images": config["image_shape"], "classes": config["class_names"]}
        | {f"data {name}": value for name, value in config.get("data", {}).items()}
    )


def check_same_run(old: dict, new: dict, folder: Path) -> None:
    """Raises ValueError, naming the differences, where a run would be resumed as another one."""
    before, after = identity(old), identity(new)
    different = [
        f"{name} was {before[name]} and is now {after[name]}"
        for name in after
        if name in before and before[name] != after[name]
    ]
    if different:
        raise ValueError(
            f"The run in {folder} is another one: {'; '.join(different)}. "
            "Resume it with the same flags, or give another --summary_dir."
        )
