"""Checkpoints `model.ckpt-STEP` in the format and with the names of 2017, read and written.

A checkpoint is a TF 1 Saver file (V2 bundle: `.index` and `.data-00000-of-00001`) with the weights under
the names of 2017, `global_step` and Adam's slots. So one reader serves ours and the released ones, and
the code of 2017 could load ours. A file appears under its name only when it is whole.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from input_data.formats.files import atomic_write
from models.classifier import Classifier

_INDEX, _DATA = ".index", ".data-00000-of-00001"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used or written."""


class MissingCheckpoint(CheckpointError):
    """No such checkpoint; a training job beside may have deleted it."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint that is cut short or corrupted."""


def prefix(folder: Path, step: int) -> str:
    """What a checkpoint is called: the path of its files without their endings."""
    return str(Path(folder) / f"model.ckpt-{step}")


def steps(folder: Path) -> list[int]:
    """The steps that a folder has checkpoints of, rising."""
    found = (re.fullmatch(r"model\.ckpt-(\d+)\.index", path.name) for path in Path(folder).glob("model.ckpt-*.index"))
    return sorted(int(match[1]) for match in found if match)


def _adam(optimizer) -> keras.optimizers.Adam:
    return getattr(optimizer, "inner_optimizer", optimizer)


def state(model: Classifier, optimizer) -> dict:
    """Every variable that training changes, by its name in the file; of the optimizer's number of steps see `save`."""
    weights = model.variables_2017()
    named = dict(weights)
    adam = _adam(optimizer)
    slots = {variable.name: variable for variable in adam.variables}
    for name, variable in weights.items():
        for ending, slot in (("Adam", "momentum"), ("Adam_1", "velocity")):
            named[f"{name}/{ending}"] = slots[f"{variable.path.replace('/', '_')}_{slot}"]
    for index, variable in enumerate(model.non_trainable_variables):  # the dropout layer's random state
        named[f"random_state_{index}"] = variable
    if optimizer is not _adam(optimizer):
        inner = {id(variable) for variable in _adam(optimizer).variables[1:]}
        named |= {variable.path: variable for variable in optimizer.variables if id(variable) not in inner}
    return named


def save(folder: Path, step: int, model: Classifier, optimizer, keep: int = 1000, protect: tuple[int, ...] = ()) -> str:
    """Writes `model.ckpt-STEP` and deletes the oldest above `keep`.

    Args:
        folder: where to.
        step: number of training steps done.
        model: the network.
        optimizer: a built Adam, or one inside a LossScaleOptimizer.
        keep: how many checkpoints stay.
        protect: steps that are not deleted.

    Returns:
        The checkpoint's prefix.

    Raises:
        CheckpointError: it could not be written (a full disk); the older ones are whole.
    """
    adam = _adam(optimizer)
    tensors = {name: variable.numpy() for name, variable in state(model, optimizer).items()}
    tensors["global_step"] = np.int64(step)
    tensors["beta1_power"] = np.float32(adam.beta_1 ** (step + 1))
    tensors["beta2_power"] = np.float32(adam.beta_2 ** (step + 1))
    folder, target = Path(folder), prefix(folder, step)
    workshop = None
    try:
        workshop = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
        draft = str(workshop / "model.ckpt")
        with tf.device("CPU:0"):
            tf.raw_ops.SaveV2(
                prefix=draft,
                tensor_names=list(tensors),
                shape_and_slices=[""] * len(tensors),
                tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
            )
        os.replace(draft + _DATA, target + _DATA)
        os.replace(draft + _INDEX, target + _INDEX)  # last: a checkpoint without an index is none
        _write_state_file(folder)
    except (OSError, tf.errors.OpError) as error:
        reason = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", getattr(error, "message", None) or str(error))
        raise CheckpointError(
            f"Cannot write the checkpoint {target}: {reason}. Older checkpoints are whole; "
            "make room and start the same command again to go on from the last one."
        ) from None
    finally:
        if workshop:
            shutil.rmtree(workshop, ignore_errors=True)
    for old in steps(folder)[:-keep]:
        if old not in protect:
            Path(prefix(folder, old) + _INDEX).unlink(missing_ok=True)
            Path(prefix(folder, old) + _DATA).unlink(missing_ok=True)
    return target


def _write_state_file(folder: Path) -> None:
    """The file `checkpoint`, by which TF 1 and other tools find the newest."""
    names = [f"model.ckpt-{step}" for step in steps(folder)]
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    with atomic_write(folder / "checkpoint") as (draft,):
        draft.write_text("\n".join(lines) + "\n")


def clean(folder: Path) -> None:
    """Removes what a killed run left half-written; only for the one process that trains here."""
    for path in Path(folder).glob(".saving-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in Path(folder).glob(f"model.ckpt-*{_DATA}"):
        if not Path(str(path).removesuffix(_DATA) + _INDEX).exists():
            path.unlink()


def restore(checkpoint: str, model: Classifier, optimizer=None) -> int:
    """Loads a checkpoint, ours or one of 2017, into a network and, where it has Adam's slots, an optimizer.

    Nothing is changed unless everything fits.

    Args:
        checkpoint: its prefix, `…/model.ckpt-STEP`.
        model: the network.
        optimizer: a built Adam to set as well, or None.

    Returns:
        The number of training steps the checkpoint has seen.

    Raises:
        CheckpointError: it is of another network: names the variable and both shapes.
        MissingCheckpoint: there is none of that name.
        DamagedCheckpoint: it is cut short or corrupted.
    """
    if not Path(str(checkpoint) + _INDEX).exists():
        raise MissingCheckpoint(f"There is no checkpoint {checkpoint} ({checkpoint}{_INDEX} does not exist).")
    try:
        reader = tf.train.load_checkpoint(str(checkpoint))
        shapes = reader.get_variable_to_shape_map()
        named = state(model, optimizer) if optimizer is not None else model.variables_2017()
        needed = model.variables_2017()
        for name, variable in named.items():
            if name not in shapes and name in needed:
                raise CheckpointError(_missing(checkpoint, name, variable, shapes))
            if name in shapes and tuple(shapes[name]) != tuple(variable.shape):
                raise CheckpointError(
                    f"{checkpoint} is of another network: {name} is {shapes[name]} there and "
                    f"{list(variable.shape)} here. Check --model, --dataset and --hparams_override."
                )
        values = {name: reader.get_tensor(name) for name in named if name in shapes}
        step = int(reader.get_tensor("global_step")) if "global_step" in shapes else 0
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        reason = str(getattr(error, "message", error)).splitlines()[0]
        raise DamagedCheckpoint(f"The checkpoint {checkpoint} is cut short or damaged: {reason}") from None
    for name, value in values.items():
        named[name].assign(value)
    if optimizer is not None and _adam(optimizer).iterations.path not in values:
        _adam(optimizer).iterations.assign(step)
    return step


def _missing(checkpoint: str, name: str, variable, shapes: dict) -> str:
    hint = "Check --model, --dataset and --hparams_override"
    if name.startswith("recons/"):
        hint = "It has no decoder: add remake=false to --hparams_override"
    return (
        f"{checkpoint} is of another network: {name} {list(variable.shape)} is not in it "
        f"(it holds {', '.join(f'{key} {shapes[key]}' for key in sorted(shapes) if 'Adam' not in key)}). {hint}."
    )


def restore_latest(folder: Path, model: Classifier, optimizer, say=print) -> int:
    """Loads the newest whole checkpoint of a folder, telling of damaged ones; returns its step, 0 without any."""
    for step in reversed(steps(folder)):
        try:
            return restore(prefix(folder, step), model, optimizer)
        except DamagedCheckpoint as error:
            say(f"{error} Passed over for the one before.")
    return 0
