"""Reads and writes checkpoints `model.ckpt-STEP`, the files of a TF 1 Saver with the names of 2017.

A checkpoint holds the weights, `global_step` and Adam's slots, so that one reader serves ours and the released ones,
and the code of 2017 could load ours. A file gets its name only when it is complete, and only finite numbers are saved.
Ours have a third file, `.sha256` as the program sha256sum writes it, which is checked before TensorFlow reads the
others: its reader can end the process on a damaged index.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from input_data.formats.files import atomic_write
from input_data.progress import say
from models import pretrained
from models.network import Classifier
from runner import naming
from runner.flags import user_errors
from runner.naming import DATA, INDEX, SUMS, CheckpointError, DamagedCheckpoint, MissingCheckpoint, files, prefix, steps

_PLAIN = re.compile(r"[\w./~+=,@: -]*", re.ASCII)  # TensorFlow's reader takes other names for patterns
_AVERAGE = "/ExponentialMovingAverage"  # TF 1's ending of the name of an averaged weight
Arrays = dict[str, np.ndarray]


def minutes(checkpoint: str) -> float:
    """The minutes of training until one of our checkpoints; 0 if that was not written."""
    path = Path(checkpoint + SUMS)
    found = re.match(r"# ([\d.]+) minutes", path.read_text(encoding="utf-8")) if path.is_file() else None
    return float(found[1]) if found else 0.0


def _sums(checkpoint: str) -> str:
    """The checksums of a checkpoint's files, in the format of the program sha256sum."""
    return "".join(pretrained.checksum_line(Path(checkpoint + ending)) for ending in (INDEX, DATA))


def read(checkpoint: str) -> Arrays:
    """The arrays of a checkpoint by name: one of ours, one of 2017, or the weights of a pretrained network.

    Args:
        checkpoint: its prefix, `…/model.ckpt-STEP`, or `…/weights.npz` in a folder in the form of `pretrained/NAME`.

    Raises:
        MissingCheckpoint: there is no such checkpoint.
        DamagedCheckpoint: it is cut short or does not fit its checksum.
    """
    path, index = Path(checkpoint), Path(checkpoint + INDEX)
    if path.name == pretrained.WEIGHTS:
        with user_errors():
            return pretrained.read_weights(path.parent)
    try:
        if index.is_file():
            sums = Path(checkpoint + SUMS)
            if sums.is_file() and re.sub(r"^#.*\n", "", sums.read_text(encoding="utf-8")) != _sums(checkpoint):
                raise ValueError(f"its files do not fit the checksums in {sums.name}")
            with tempfile.TemporaryDirectory() as folder:
                name = checkpoint
                if not _PLAIN.fullmatch(checkpoint):
                    name = f"{folder}/model"
                    for file in path.parent.iterdir():
                        if file.name.startswith(f"{path.name}."):
                            os.symlink(file.absolute(), name + file.name.removeprefix(path.name))
                reader = tf.train.load_checkpoint(name)
                return {key: np.asarray(reader.get_tensor(key)) for key in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, FileNotFoundError, ValueError) as error:
        if index.is_file():  # else it was deleted while it was read
            raise DamagedCheckpoint(checkpoint, getattr(error, "message", None) or str(error)) from None
    raise MissingCheckpoint(f"There is no checkpoint {checkpoint} ({index} does not exist).")


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
                if slot != "average" or adam.use_ema:
                    named[name + ending] = slots[f"{variable.path.replace('/', '_')}_{slot}"]
    paths = {variable.path for variable in weights.values()}
    unnamed = [variable for variable in model.non_trainable_variables if variable.path not in paths]
    named |= {f"random_state_{index}": variable for index, variable in enumerate(unnamed)}  # of dropout layers
    if optimizer is not adam:
        inner = {id(variable) for variable in adam.variables[1:]}
        named |= {variable.path: variable for variable in optimizer.variables if id(variable) not in inner}
    return named


def keeps_averages(optimizer) -> bool:
    """Whether an optimizer keeps an average of the weights."""
    return bool(_adam(optimizer).use_ema)


@contextmanager
def averaged(model: Classifier, optimizer) -> Iterator[None]:
    """A context in which a network has its averaged weights, if its optimizer keeps some."""
    weights, named = model.named_variables(), state(model, optimizer)
    last = {name: weight.numpy() for name, weight in weights.items() if name + _AVERAGE in named}
    try:
        for name in last:
            weights[name].assign(named[name + _AVERAGE].numpy())
        yield
    finally:
        for name, value in last.items():
            weights[name].assign(value)


def save(folder: Path, step: int, model: Classifier, optimizer, keep: int = 1000, minutes: float = 0.0) -> str:
    """Writes `model.ckpt-STEP`, deletes the oldest checkpoints if there are more than `keep`, and returns the prefix.

    The optimizer is a built Adam, or one inside a LossScaleOptimizer; `minutes` is the time of training until now.
    """
    adam, target = _adam(optimizer), prefix(folder, step)
    tensors = {name: variable.numpy() for name, variable in state(model, optimizer).items()}
    if broken := _not_finite(tensors):
        advice = naming.last_good(folder, step - 1)
        raise CheckpointError(f"After step {step}, {broken} is not finite. It was not saved. {advice}")
    tensors["global_step"] = np.int64(step)
    tensors["beta1_power"] = np.float32(adam.beta_1 ** (step + 1))
    tensors["beta2_power"] = np.float32(adam.beta_2 ** (step + 1))
    try:
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder, ignore_cleanup_errors=True) as workshop:
            draft = f"{workshop}/{Path(target).name}"
            with tf.device("CPU:0"):
                values = [tf.convert_to_tensor(value) for value in tensors.values()]
                tf.raw_ops.SaveV2(prefix=os.fsencode(draft), tensor_names=list(tensors),
                                  shape_and_slices=[""] * len(tensors), tensors=values)  # fmt: skip
            text = f"# {minutes:.2f} minutes of training\n{_sums(draft)}"
            Path(draft + SUMS).write_text(text, encoding="utf-8", newline="\n")
            for source, path in zip(files(draft), files(target), strict=True):
                os.replace(source, path)  # the index last: a checkpoint without it does not count
        _write_state_file(folder, step)
    except (OSError, tf.errors.OpError) as error:
        reason = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", getattr(error, "message", None) or str(error))
        raise CheckpointError(
            f"Cannot write the checkpoint {target}: {reason}. Older checkpoints are intact: "
            "free some space and run the same command again to resume from the last one."
        ) from None
    _prune(folder, step, keep)
    return target


def _not_finite(tensors: Arrays) -> str | None:
    """The name of the first tensor with a NaN or an infinite number."""
    return next((name for name, value in tensors.items() if not np.isfinite(value).all()), None)


def _prune(folder: Path, step: int, keep: int) -> None:
    """Deletes the oldest checkpoints; those after `step` are from before the run was set back and do not count."""
    for old in steps(folder, step)[:-keep]:
        for path in reversed(files(prefix(folder, old))):
            path.unlink(missing_ok=True)


def _write_state_file(folder: Path, step: int) -> None:
    """Writes the file `checkpoint`, in which TF 1 and other tools look up the newest checkpoint."""
    names = [f"model.ckpt-{each}" for each in steps(folder, step)]
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    with atomic_write(Path(folder) / "checkpoint") as (draft,):
        draft.write_text("\n".join(lines) + "\n")


def tidy(folder: Path, keep: int) -> None:
    """Finishes what a killed run left half done, before training goes on from the newest checkpoint of its folder."""
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
        model, optimizer: the network, and a built Adam to set as well, or None.
        averaged: without an optimizer, whether to load the averaged weights where the checkpoint has some.

    Returns:
        The number of training steps of the checkpoint.
    """
    arrays, weights = read(checkpoint), model.named_variables()
    variables = state(model, optimizer) if optimizer is not None else weights
    has_averages, values = any(name.endswith(_AVERAGE) for name in arrays), {}
    for name, variable in variables.items():
        value, shape = arrays.get(name), list(variable.shape)
        if optimizer is None and averaged:
            value = arrays.get(name + _AVERAGE, value)
        if not has_averages and name.endswith(_AVERAGE):
            value = arrays.get(name.removesuffix(_AVERAGE))  # the averages begin at the weights
        if value is None and name not in weights:
            continue  # a checkpoint without the optimizer's state
        if value is None or list(value.shape) != shape:
            there = "is not in it" if value is None else f"is {list(value.shape)} there and {shape} here"
            hint = " (add remake=false for a network without a decoder)" if name.startswith("recons/") else ""
            raise CheckpointError(
                f"{checkpoint} is of another network: {name} {there}. "
                f"Check --model, --dataset and --hparams_override{hint}."
            )
        values[name] = value
    step = _step(checkpoint, arrays)
    if broken := _not_finite(values):
        raise DamagedCheckpoint(checkpoint, f"{broken} holds numbers that are not finite")
    for name, value in values.items():
        variables[name].assign(value)
    if optimizer is not None and _adam(optimizer).iterations.path not in values:
        _adam(optimizer).iterations.assign(step)
    return step


def _step(checkpoint: str, arrays: Arrays) -> int:
    """The number of training steps; in a run's folder it must be that of the name."""
    path = Path(checkpoint)
    name = naming.NAME.fullmatch(path.name) if (path.parent / "config.json").exists() else None
    step = arrays.get("global_step", np.int64(0))  # released weights may have none; the code of 2017 counted in float32
    if name and (step.shape or step != int(name[1])):
        raise DamagedCheckpoint(checkpoint, f"its global_step is {step}")
    return int(step)


def step_of(checkpoint: str) -> int:
    """The number of training steps of a checkpoint; errors as `read`."""
    return _step(checkpoint, read(checkpoint))


def weights_of(checkpoint: str, averaged: bool) -> str:
    """Which weights `restore` loads: "averaged" or "last" if the checkpoint has both, else ""."""
    has_both = any(name.endswith(_AVERAGE) for name in read(checkpoint))
    return ("averaged" if averaged else "last") if has_both else ""


def restore_latest(folder: Path, model: Classifier, optimizer) -> int:
    """Loads the newest good checkpoint of a folder and returns its step, 0 if there is no checkpoint.

    Damaged newer ones are reported and renamed.
    """
    damaged: list[tuple[str, DamagedCheckpoint]] = []
    for step in reversed(steps(folder)):
        try:
            restored = restore(prefix(folder, step), model, optimizer)
        except DamagedCheckpoint as error:
            damaged.append((prefix(folder, step), error))
            continue
        for bad, reason in damaged:
            say(f"{reason} It was renamed to damaged-{Path(bad).name}, and the checkpoint before it is used.")
            for path in reversed(files(bad)):  # the index first: without it there is no checkpoint
                if path.exists():
                    path.replace(path.with_name(f"damaged-{path.name}"))
        return restored
    if damaged:
        raise CheckpointError(
            f"None of the {len(damaged)} checkpoints in {folder} can be read; nothing was changed. The newest: "
            f"{damaged[0][1]} Restore one from a backup, or give another --summary_dir."
        )
    return 0
