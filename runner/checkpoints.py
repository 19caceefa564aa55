"""Reads and writes checkpoints `model.ckpt-STEP` in the format and with the names of 2017.

A checkpoint holds the weights under the names of 2017, `global_step` and Adam's slots, so that one reader serves our
checkpoints and the released ones, and the code of 2017 could load ours. A file gets its name only when it is complete,
and only finite weights are saved.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from input_data.formats.files import atomic_write
from models.network import Classifier
from runner.checkpoint_files import (
    DATA,
    INDEX,
    OUR_NAME,
    SUMS,
    Arrays,
    CheckpointError,
    DamagedCheckpoint,
    MissingCheckpoint,
    damaged,
    files,
    last_good,
    minutes,
    prefix,
    read,
    sha256,
    steps,
)  # fmt: skip

__all__ = [
    "INDEX", "CheckpointError", "DamagedCheckpoint", "MissingCheckpoint", "files", "last_good", "minutes", "prefix",
    "read", "restore", "restore_latest", "save", "state", "step_of", "steps", "tidy", "weights_of",
]  # fmt: skip

_AVERAGE = "/ExponentialMovingAverage"  # TF 1's ending of the name of an averaged weight


def _adam(optimizer) -> keras.optimizers.Optimizer:
    return getattr(optimizer, "inner_optimizer", optimizer)


def state(model: Classifier, optimizer) -> dict[str, Any]:
    """Every variable that training changes, by its name in the file, except the optimizer's step count (see `save`)."""
    weights = model.named_variables()
    adam = _adam(optimizer)
    slots = {variable.name: variable for variable in adam.variables}
    named = dict(weights)
    for name, variable in weights.items():
        if variable.trainable:  # not the moving statistics of batch normalisation
            for ending, slot in (("/Adam", "momentum"), ("/Adam_1", "velocity"), (_AVERAGE, "average")):
                key = f"{variable.path.replace('/', '_')}_{slot}"
                if slot != "average" or adam.use_ema:
                    named[name + ending] = slots[key]
    paths = {variable.path for variable in weights.values()}
    unnamed = [variable for variable in model.non_trainable_variables if variable.path not in paths]
    for index, variable in enumerate(unnamed):  # the dropout layer's random state
        named[f"random_state_{index}"] = variable
    if optimizer is not adam:
        inner = {id(variable) for variable in adam.variables[1:]}
        named |= {variable.path: variable for variable in optimizer.variables if id(variable) not in inner}
    return named


class Averaged:
    """A context in which a network has its averaged weights, if its optimizer keeps some.

    Attributes:
        exist: whether there are averaged weights.
    """

    def __init__(self, model: Classifier, optimizer):
        self.exist = bool(_adam(optimizer).use_ema)
        weights, named = model.named_variables(), state(model, optimizer) if self.exist else {}
        self._pairs = [(weights[name], named[name + _AVERAGE]) for name in weights if name + _AVERAGE in named]

    def __enter__(self):
        self._last = [weight.numpy() for weight, _ in self._pairs]
        for weight, average in self._pairs:
            weight.assign(average.numpy())
        return self

    def __exit__(self, *error):
        for (weight, _), last in zip(self._pairs, self._last, strict=True):
            weight.assign(last)


def save(folder: Path, step: int, model: Classifier, optimizer, keep: int = 1000, minutes: float = 0.0) -> str:
    """Writes `model.ckpt-STEP` and deletes the oldest checkpoints if there are more than `keep`.

    Args:
        folder: the folder to write to.
        step: number of training steps done.
        model: the network.
        optimizer: a built Adam, or one inside a LossScaleOptimizer.
        keep: how many checkpoints to keep.
        minutes: of training until now.

    Returns:
        The checkpoint's prefix.
    """
    adam = _adam(optimizer)
    tensors = {name: variable.numpy() for name, variable in state(model, optimizer).items()}
    if broken := _not_finite(tensors):
        raise CheckpointError(
            f"After step {step}, {broken} is not finite. It was not saved. {last_good(folder, step - 1)}"
        )
    tensors["global_step"] = np.int64(step)
    tensors["beta1_power"] = np.float32(adam.beta_1 ** (step + 1))
    tensors["beta2_power"] = np.float32(adam.beta_2 ** (step + 1))
    folder, target = Path(folder), prefix(folder, step)
    workshop = None
    try:
        workshop = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
        draft = str(workshop / Path(target).name)
        with tf.device("CPU:0"):
            tf.raw_ops.SaveV2(
                prefix=os.fsencode(draft),
                tensor_names=list(tensors),
                shape_and_slices=[""] * len(tensors),
                tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
            )
        lines = [f"{sha256(path)}  {path.name}\n" for path in (Path(draft + INDEX), Path(draft + DATA))]
        Path(draft + SUMS).write_text(f"# {minutes:.2f} minutes of training\n{''.join(lines)}", encoding="utf-8")
        for source, path in zip(files(draft), files(target), strict=True):
            os.replace(source, path)  # the index last: a checkpoint without it does not count
        _write_state_file(folder, step)
    except (OSError, tf.errors.OpError) as error:
        reason = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", getattr(error, "message", None) or str(error))
        raise CheckpointError(
            f"Cannot write the checkpoint {target}: {reason}. Older checkpoints are intact: "
            "free some space and run the same command again to resume from the last one."
        ) from None
    finally:
        if workshop:
            shutil.rmtree(workshop, ignore_errors=True)
    _prune(folder, step, keep)
    return target


def _prune(folder: Path, step: int, keep: int) -> None:
    """Deletes the oldest checkpoints; those after `step` are from before the run was set back and do not count."""
    for old in steps(folder, step)[:-keep]:
        for path in reversed(files(prefix(folder, old))):
            path.unlink(missing_ok=True)


def _not_finite(tensors: Arrays) -> str | None:
    """The name of the first tensor with a NaN or an infinite number."""
    return next((name for name, value in tensors.items() if not np.isfinite(value).all()), None)


def _write_state_file(folder: Path, step: int) -> None:
    """Writes the file `checkpoint`, in which TF 1 and other tools look up the newest checkpoint."""
    names = [f"model.ckpt-{each}" for each in steps(folder, step)]
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    with atomic_write(folder / "checkpoint") as (draft,):
        draft.write_text("\n".join(lines) + "\n")


def tidy(folder: Path, keep: int = 1000) -> None:
    """Finishes what a killed run left half done, before training goes on from the newest checkpoint of its folder."""
    folder = Path(folder)
    for path in folder.glob(".saving-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in [*folder.glob(f"model.ckpt-*{DATA}"), *folder.glob(f"model.ckpt-*{SUMS}")]:
        if not Path(str(path).removesuffix(DATA).removesuffix(SUMS) + INDEX).exists():
            path.unlink()
    if found := steps(folder):
        _prune(folder, found[-1], keep)
        _write_state_file(folder, found[-1])


def restore(checkpoint: str, model: Classifier, optimizer=None, averaged: bool = True) -> int:
    """Loads a checkpoint into a network, and Adam's slots, if the checkpoint has them, into an optimizer.

    The checkpoint may be ours, one from 2017 or a pretrained network. Nothing is changed unless everything fits.

    Args:
        checkpoint: see `read`.
        model: the network.
        optimizer: a built Adam to set as well, or None.
        averaged: without an optimizer, whether to load the averaged weights where the checkpoint has some.

    Returns:
        The number of training steps of the checkpoint.
    """
    arrays = read(checkpoint)
    weights = model.named_variables()
    variables = state(model, optimizer) if optimizer is not None else weights
    values = {}
    for name, variable in variables.items():
        value = arrays.get(name)
        if optimizer is None and averaged:
            value = arrays.get(name + _AVERAGE, value)
        if value is None and name.endswith(_AVERAGE) and not any(each.endswith(_AVERAGE) for each in arrays):
            value = arrays.get(name.removesuffix(_AVERAGE))  # the averages begin at the weights
        if value is None and name in weights:
            raise CheckpointError(_missing(checkpoint, arrays, name, variable))
        if value is None:
            continue
        if value.shape != tuple(variable.shape):
            raise CheckpointError(
                f"{checkpoint} is of another network: {name} is {list(value.shape)} there and "
                f"{list(variable.shape)} here. Check --model, --dataset and --hparams_override."
            )
        if value.dtype != np.dtype(variable.dtype):
            raise damaged(checkpoint, f"{name} is {value.dtype} and should be {variable.dtype}")
        values[name] = value
    step = _step(checkpoint, arrays)
    if broken := _not_finite(values):
        raise damaged(checkpoint, f"{broken} holds numbers that are not finite")
    for name, value in values.items():
        variables[name].assign(value)
    if optimizer is not None and _adam(optimizer).iterations.path not in values:
        _adam(optimizer).iterations.assign(step)
    return step


def _step(checkpoint: str, arrays: Arrays) -> int:
    """The number of training steps, checked against the name of the checkpoint if a run of ours wrote it."""
    path = Path(checkpoint)
    name = OUR_NAME.fullmatch(path.name) if (path.parent / "config.json").exists() else None
    value = arrays.get("global_step")
    if value is None and not name:
        return 0  # a checkpoint from 2017 without training state
    # The code of 2017 counted in float32.
    if value is None or value.shape != () or value.dtype.kind not in "if" or value < 0 or value != np.floor(value):
        raise damaged(checkpoint, f"its global_step is {value}, no whole number")
    if name and int(value) != int(name[1]):
        raise damaged(checkpoint, f"its global_step is {int(value)}")
    return int(value)


def step_of(checkpoint: str) -> int:
    """The number of training steps of a checkpoint; errors as `read`."""
    return _step(checkpoint, read(checkpoint))


def weights_of(checkpoint: str, averaged: bool) -> str:
    """Which weights `restore` loads: "averaged" or "last" if the checkpoint has both, else ""."""
    has_both = any(name.endswith(_AVERAGE) for name in read(checkpoint))
    return ("averaged" if averaged else "last") if has_both else ""


def _missing(checkpoint: str, arrays: Arrays, name: str, variable: Any) -> str:
    hint = "Check --model, --dataset and --hparams_override"
    if name.startswith("recons/"):
        hint = "It has no decoder: add remake=false to --hparams_override"
    own = (f"{key} {list(arrays[key].shape)}" for key in sorted(arrays) if "Adam" not in key)
    return (
        f"{checkpoint} is of another network: {name} {list(variable.shape)} is not in it "
        f"(it holds {', '.join(own)}). {hint}."
    )


def restore_latest(folder: Path, model: Classifier, optimizer, say=print) -> int:
    """Loads the newest good checkpoint of a folder; damaged newer ones are reported and renamed.

    Returns:
        Its step; 0 if there is no checkpoint.
    """
    bad_ones: dict[int, DamagedCheckpoint] = {}
    for step in reversed(steps(folder)):
        try:
            restored = restore(prefix(folder, step), model, optimizer)
        except DamagedCheckpoint as error:
            bad_ones[step] = error
            continue
        for bad, reason in bad_ones.items():
            say(f"{reason} It was renamed to damaged-model.ckpt-{bad}, and the checkpoint before it is used.")
            for path in reversed(files(prefix(folder, bad))):  # the index first: without it there is no checkpoint
                if path.exists():
                    path.replace(path.with_name(f"damaged-{path.name}"))
        return restored
    if bad_ones:
        raise CheckpointError(
            f"None of the {len(bad_ones)} checkpoints in {folder} can be read; nothing was changed. "
            f"The newest: {bad_ones[max(bad_ones)]} Restore one from a backup, or give another --summary_dir."
        )
    return 0
