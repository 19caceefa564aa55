"""Reads and writes checkpoints `model.ckpt-STEP` in the format and with the names of 2017.

A checkpoint is a TF 1 Saver file (V2 bundle: `.index` and `.data-00000-of-00001`) with the weights under the names of
2017, `global_step` and Adam's slots. One reader therefore serves our checkpoints and the released ones, and the code of
2017 could load ours. A file gets its name only when it is complete, and only finite weights are saved.
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
from runner.bundle import INDEX, Bundle, CheckpointError, DamagedCheckpoint, MissingCheckpoint
from runner.shipped import Shipped

__all__ = ["CheckpointError", "DamagedCheckpoint", "MissingCheckpoint", "clean", "last_good", "prefix", "restore"]

_DATA = ".data-00000-of-00001"
_OUR_NAME = re.compile(r"model\.ckpt-(0|[1-9][0-9]*)")


def prefix(folder: Path, step: int) -> str:
    """A checkpoint's prefix: the path of its files without their endings."""
    return str(Path(folder) / f"model.ckpt-{step}")


def steps(folder: Path) -> list[int]:
    """The steps of a folder's checkpoints, in ascending order."""
    names = (_OUR_NAME.fullmatch(path.name.removesuffix(INDEX)) for path in Path(folder).glob(f"model.ckpt-*{INDEX}"))
    return sorted(int(name[1]) for name in names if name)


def last_good(folder: Path, step: int) -> str:
    """Advice after a run has diverged: names its newest checkpoint of `step` steps or fewer."""
    good = [each for each in steps(folder) if each <= step]
    if not good:
        return "No earlier checkpoint was saved: lower learning_rate and start again in another --summary_dir."
    return (
        f"The last good checkpoint is {prefix(folder, good[-1])}: lower learning_rate and start from it with "
        "--checkpoint in another --summary_dir."
    )


def _adam(optimizer) -> keras.optimizers.Adam:
    return getattr(optimizer, "inner_optimizer", optimizer)


def state(model: Classifier, optimizer) -> dict:
    """Every variable that training changes, by its name in the file, except the optimizer's step count (see `save`)."""
    weights = model.named_variables()
    named = dict(weights)
    adam = _adam(optimizer)
    slots = {variable.name: variable for variable in adam.variables}
    for name, variable in weights.items():
        if variable.trainable:  # not the moving statistics of batch normalisation
            for ending, slot in (("Adam", "momentum"), ("Adam_1", "velocity")):
                named[f"{name}/{ending}"] = slots[f"{variable.path.replace('/', '_')}_{slot}"]
    paths = {variable.path for variable in weights.values()}
    unnamed = [variable for variable in model.non_trainable_variables if variable.path not in paths]
    for index, variable in enumerate(unnamed):  # the dropout layer's random state
        named[f"random_state_{index}"] = variable
    if optimizer is not _adam(optimizer):
        inner = {id(variable) for variable in _adam(optimizer).variables[1:]}
        named |= {variable.path: variable for variable in optimizer.variables if id(variable) not in inner}
    return named


def save(folder: Path, step: int, model: Classifier, optimizer, keep: int = 1000) -> str:
    """Writes `model.ckpt-STEP` and deletes the oldest checkpoints if there are more than `keep`.

    Args:
        folder: the folder to write to.
        step: number of training steps done.
        model: the network.
        optimizer: a built Adam, or one inside a LossScaleOptimizer.
        keep: how many checkpoints to keep.

    Returns:
        The checkpoint's prefix.

    Raises:
        CheckpointError: the weights are not finite, or they could not be written (a full disk). Older checkpoints stay
            intact.
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
        draft = str(workshop / "model.ckpt")
        with tf.device("CPU:0"):
            tf.raw_ops.SaveV2(
                prefix=os.fsencode(draft),
                tensor_names=list(tensors),
                shape_and_slices=[""] * len(tensors),
                tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
            )
        os.replace(draft + _DATA, target + _DATA)
        os.replace(draft + INDEX, target + INDEX)  # last: a checkpoint without an index does not count
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
    for old in _up_to(folder, step)[:-keep]:
        Path(prefix(folder, old) + INDEX).unlink(missing_ok=True)
        Path(prefix(folder, old) + _DATA).unlink(missing_ok=True)
    return target


def _up_to(folder: Path, step: int) -> list[int]:
    """The steps of the run's checkpoints up to `step`; later ones are from before the run was set back."""
    return [each for each in steps(folder) if each <= step]


def _not_finite(tensors: dict[str, np.ndarray]) -> str | None:
    """The name of the first tensor with a NaN or an infinite number."""
    return next((name for name, value in tensors.items() if not np.isfinite(value).all()), None)


def _write_state_file(folder: Path, step: int) -> None:
    """Writes the file `checkpoint`, in which TF 1 and other tools look up the newest checkpoint."""
    names = [f"model.ckpt-{each}" for each in _up_to(folder, step)]
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    with atomic_write(folder / "checkpoint") as (draft,):
        draft.write_text("\n".join(lines) + "\n")


def clean(folder: Path) -> None:
    """Removes half-written files of a killed run; only for the one process that trains here."""
    for path in Path(folder).glob(".saving-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in Path(folder).glob(f"model.ckpt-*{_DATA}"):
        if not Path(str(path).removesuffix(_DATA) + INDEX).exists():
            path.unlink()


def restore(checkpoint: str, model: Classifier, optimizer=None) -> int:
    """Loads a checkpoint into a network, and Adam's slots, if the checkpoint has them, into an optimizer.

    The checkpoint may be ours, one from 2017 or a pretrained network. Nothing is changed unless everything fits.

    Args:
        checkpoint: its prefix, `…/model.ckpt-STEP`, or `…/weights.npz` of a pretrained network.
        model: the network.
        optimizer: a built Adam to set as well, or None.

    Returns:
        The number of training steps of the checkpoint.

    Raises:
        CheckpointError: it is of another network; the message names the variable and both shapes.
        MissingCheckpoint: there is no such checkpoint.
        DamagedCheckpoint: it is cut short or corrupted, lacks some of the saved variables, or is not finite.
    """
    bundle: Bundle | Shipped = Shipped(checkpoint) if Shipped.is_named(checkpoint) else Bundle(checkpoint)
    weights = model.named_variables()
    variables = state(model, optimizer) if optimizer is not None else weights
    for name, variable in variables.items():
        entry = bundle.entries.get(name)
        if entry is None and name in weights:
            raise CheckpointError(_missing(bundle, name, variable))
        if entry is None:
            continue
        if entry.shape != tuple(variable.shape):
            raise CheckpointError(
                f"{checkpoint} is of another network: {name} is {list(entry.shape)} there and "
                f"{list(variable.shape)} here. Check --model, --dataset and --hparams_override."
            )
        if entry.dtype != np.dtype(variable.dtype):
            raise bundle.damaged(f"{name} is {entry.dtype} and should be {variable.dtype}")
    _check_whole(bundle, set(variables) - set(weights))
    step = _step(bundle)
    values = {name: bundle.read(name) for name in variables if name in bundle.entries}
    if broken := _not_finite(values):
        raise bundle.damaged(f"{broken} holds numbers that are not finite")
    for name, value in values.items():
        variables[name].assign(value)
    if optimizer is not None and _adam(optimizer).iterations.path not in values:
        _adam(optimizer).iterations.assign(step)
    return step


def _check_whole(bundle: Bundle | Shipped, names: set[str]) -> None:
    """Raises DamagedCheckpoint if only some of Adam's slots, or of another group of variables, are in the bundle."""
    groups: dict[str, set[str]] = {}
    for name in names:
        kind = "Adam" if re.search("/Adam(_1)?$", name) else re.split("/|_[0-9]", name)[0]  # loss_scale, random_state
        groups.setdefault(kind, set()).add(name)
    for group in groups.values():
        missing = sorted(group - set(bundle.entries))
        if missing and len(missing) < len(group):
            raise bundle.damaged(f"{missing[0]} is not in it, unlike {min(group & set(bundle.entries))}")


def _step(bundle: Bundle | Shipped) -> int:
    """The number of training steps, checked against the name of the checkpoint if a run of ours wrote it."""
    path = Path(bundle.prefix)
    name = _OUR_NAME.fullmatch(path.name) if (path.parent / "config.json").exists() else None
    if "global_step" not in bundle.entries and not name:
        return 0  # a checkpoint from 2017 without training state
    entry = bundle.entries.get("global_step")
    if entry is None or entry.shape != () or entry.dtype is None or entry.dtype.kind not in "if":
        raise bundle.damaged("its global_step is no number")
    value = bundle.read("global_step")
    if not np.isfinite(value) or value != np.floor(value):  # the code of 2017 counted in float32
        raise bundle.damaged(f"its global_step is {value}, no whole number")
    step = int(value)
    if step < 0 or (name and step != int(name[1])):
        raise bundle.damaged(f"its global_step is {step}")
    return step


def _missing(bundle: Bundle | Shipped, name: str, variable: Any) -> str:
    hint = "Check --model, --dataset and --hparams_override"
    if name.startswith("recons/"):
        hint = "It has no decoder: add remake=false to --hparams_override"
    own = (f"{key} {list(bundle.entries[key].shape)}" for key in sorted(bundle.entries) if "Adam" not in key)
    return (
        f"{bundle.prefix} is of another network: {name} {list(variable.shape)} is not in it "
        f"(it holds {', '.join(own)}). {hint}."
    )


def restore_latest(folder: Path, model: Classifier, optimizer, say=print) -> int:
    """Loads the newest good checkpoint of a folder; damaged newer ones are reported and renamed.

    Returns:
        Its step; 0 if there is no checkpoint.

    Raises:
        CheckpointError: all checkpoints are damaged, or the newest good one is of another network.
    """
    damaged: dict[int, DamagedCheckpoint] = {}
    for step in reversed(steps(folder)):
        try:
            restored = restore(prefix(folder, step), model, optimizer)
        except DamagedCheckpoint as error:
            damaged[step] = error
            continue
        for bad, reason in damaged.items():
            say(f"{reason} It was renamed to damaged-model.ckpt-{bad}, and the checkpoint before it is used.")
            for ending in (INDEX, _DATA):  # the index first: without it there is no checkpoint
                path = Path(prefix(folder, bad) + ending)
                if path.exists():
                    path.replace(path.with_name(f"damaged-{path.name}"))
        return restored
    if damaged:
        raise CheckpointError(
            f"None of the {len(damaged)} checkpoints in {folder} can be read; nothing was changed. "
            f"The newest: {damaged[max(damaged)]} Restore one from a backup, or give another --summary_dir."
        )
    return 0
