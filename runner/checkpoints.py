"""Reads and writes checkpoints `model.ckpt-STEP`, the files of a TF 1 Saver with the names of 2017.

A checkpoint holds the weights, `global_step` and Adam's slots, so that one reader serves ours and the released ones,
and the code of 2017 could load ours. A file gets its name only when it is complete, and only finite numbers are saved.
Ours have a third file, `.sha256` as the program sha256sum writes it, which is checked before TensorFlow reads the
others: its reader can end the process on a damaged index.
"""

import glob
import math
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
from models.pretrained import AVERAGE
from runner.flags import UserError, user_errors

INDEX, DATA, SUMS = ".index", ".data-00000-of-00001", ".sha256"
NAME = re.compile(r"model\.ckpt-(0|[1-9][0-9]*)")
Arrays = dict[str, np.ndarray]


class MissingCheckpoint(UserError):
    """There is no such checkpoint; the training job that wrote it may have deleted it since."""


class DamagedCheckpoint(UserError):
    """A checkpoint that is cut short, corrupted, or has values that training never writes."""

    def __init__(self, checkpoint: str, reason: str):
        super().__init__(f"The checkpoint {checkpoint} is cut short or damaged: {reason}.")


def prefix(folder: Path, step: int) -> str:
    """A checkpoint's prefix: the path of its files without their endings."""
    return str(Path(folder) / f"model.ckpt-{step}")


def steps(folder: Path, last: float = math.inf) -> list[int]:
    """The steps of a folder's checkpoints up to `last`, in ascending order."""
    names = (NAME.fullmatch(path.name.removesuffix(INDEX)) for path in Path(folder).glob(f"model.ckpt-*{INDEX}"))
    return sorted(step for name in names if name and (step := int(name[1])) <= last)


def files(checkpoint: str) -> list[Path]:
    """The files of one of our checkpoints, which may not exist, in the order in which they are written."""
    return [Path(f"{checkpoint}{ending}") for ending in (DATA, SUMS, INDEX)]


def last_good(folder: Path, step: int) -> str:
    """Advice after a run has diverged: names its newest checkpoint of `step` steps or fewer."""
    good = steps(folder, step)
    found = f"The last good checkpoint is {prefix(folder, good[-1])}" if good else "No earlier checkpoint was saved"
    start = "start from it with --checkpoint" if good else "start again"
    return f"{found}: lower learning_rate and {start} in another --summary_dir."


def minutes(checkpoint: str) -> float:
    """The minutes of training until one of our checkpoints; 0 if that was not written."""
    path = Path(checkpoint + SUMS)
    found = re.match(r"# ([\d.]+) minutes", path.read_text(encoding="utf-8")) if path.is_file() else None
    return float(found[1]) if found else 0.0


def _sums(checkpoint: str) -> str:
    """The checksums of a checkpoint's files, in the format of the program sha256sum."""
    return "".join(pretrained.checksum_line(Path(checkpoint + ending)) for ending in (INDEX, DATA))


def read(checkpoint: str) -> Arrays:
    """The arrays by name of a checkpoint of ours or of 2017, `…/model.ckpt-STEP`, or of a pretrained `…/weights.npz`.

    MissingCheckpoint: there is none. DamagedCheckpoint: it is cut short or does not fit its checksum.
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
            with tempfile.TemporaryDirectory() as folder:  # TensorFlow's reader takes a name for a pattern
                for file in path.parent.glob(f"{glob.escape(path.name)}.*"):
                    os.symlink(file.absolute(), f"{folder}/model{file.name.removeprefix(path.name)}")
                reader = tf.train.load_checkpoint(f"{folder}/model")
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
            for ending, slot in (("/Adam", "momentum"), ("/Adam_1", "velocity"), (AVERAGE, "average")):
                if slot != "average" or adam.use_ema:
                    named[name + ending] = slots[f"{variable.path.replace('/', '_')}_{slot}"]
    paths = {variable.path for variable in weights.values()}
    unnamed = [variable for variable in model.non_trainable_variables if variable.path not in paths]
    named |= {f"random_state_{index}": variable for index, variable in enumerate(unnamed)}  # of dropout layers
    if optimizer is not adam:
        inner = {id(variable) for variable in adam.variables[1:]}
        named |= {variable.path: variable for variable in optimizer.variables if id(variable) not in inner}
    return named


@contextmanager
def averaged(model: Classifier, optimizer) -> Iterator[None]:
    """A context in which a network has its averaged weights, if its optimizer keeps some."""
    weights = model.trainable_variables if _adam(optimizer).use_ema else []
    last = [weight.numpy() for weight in weights]
    try:
        optimizer.finalize_variable_values(weights)
        yield
    finally:
        for weight, value in zip(weights, last, strict=True):
            weight.assign(value)


def save(folder: Path, step: int, model: Classifier, optimizer, keep: int = 1000, minutes: float = 0.0) -> str:
    """Writes `model.ckpt-STEP`, deletes the oldest checkpoints if there are more than `keep`, and returns the prefix.

    The optimizer is a built Adam, or one inside a LossScaleOptimizer; `minutes` is the time of training until now.
    """
    adam, target = _adam(optimizer), prefix(folder, step)
    tensors = {name: variable.numpy() for name, variable in state(model, optimizer).items()}
    if broken := _not_finite(tensors):
        advice = last_good(folder, step - 1)
        raise UserError(f"After step {step}, {broken} is not finite. It was not saved. {advice}")
    powers = {f"beta{i}_power": np.float32(beta ** (step + 1)) for i, beta in ((1, adam.beta_1), (2, adam.beta_2))}
    tensors |= powers | {"global_step": np.int64(step)}
    try:
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder, ignore_cleanup_errors=True) as workshop:
            draft = f"{workshop}/{Path(target).name}"
            with tf.device("CPU:0"):
                values = [tf.convert_to_tensor(value) for value in tensors.values()]
                tf.raw_ops.SaveV2(prefix=os.fsencode(draft), tensor_names=list(tensors),
                                  shape_and_slices=[""] * len(tensors), tensors=values)  # fmt: skip
            text = f"# {minutes:.3f} minutes of training\n{_sums(draft)}"
            Path(draft + SUMS).write_text(text, encoding="utf-8", newline="\n")
            for source, path in zip(files(draft), files(target), strict=True):
                os.replace(source, path)  # the index last: a checkpoint without it does not count
        _prune(folder, step, keep)
    except (OSError, tf.errors.OpError) as error:
        reason = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", getattr(error, "message", None) or str(error))
        advice = "Older checkpoints are intact: free some space, and the same command resumes from the last one."
        raise UserError(f"Cannot write the checkpoint {target}: {reason}. {advice}") from None
    return target


def _not_finite(tensors: Arrays) -> str | None:
    """The name of the first tensor with a NaN or an infinite number."""
    return next((name for name, value in tensors.items() if not np.isfinite(value).all()), None)


def _prune(folder: Path, step: int, keep: int) -> None:
    """Names the newest checkpoints in the file `checkpoint`, where TF 1 and other tools look, and deletes the others.

    Those after `step` are from before the run was set back and do not count. What a killed run left half done goes too.
    """
    found = steps(folder, step)
    names = [f"model.ckpt-{each}" for each in found[-keep:]]
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    with atomic_write(Path(folder) / "checkpoint") as (draft,):
        draft.write_text("\n".join(lines) + "\n")
    for old in found[:-keep]:
        Path(prefix(folder, old) + INDEX).unlink(missing_ok=True)
    whole = {path for each in steps(folder) for path in files(prefix(folder, each))}
    for path in set(Path(folder).glob("model.ckpt-*.*")) - whole:
        if path.name.endswith((DATA, SUMS)):
            path.unlink(missing_ok=True)
    for path in Path(folder).glob(".saving-*"):
        shutil.rmtree(path, ignore_errors=True)


def restore(checkpoint: str, model: Classifier, optimizer=None) -> int:
    """Loads a checkpoint, see `read`, and returns its number of training steps. Nothing changes unless everything fits.

    A built Adam gets its slots, if the checkpoint has them; without one, the network gets averaged weights, if there
    are some.
    """
    arrays, weights = read(checkpoint), model.named_variables()
    variables = state(model, optimizer) if optimizer is not None else weights
    values: Arrays = {}
    for name, variable in variables.items():
        # A network to use gets the averages. Averages that a checkpoint lacks begin at its weights.
        sources = (name + AVERAGE, name) if optimizer is None else (name, name.removesuffix(AVERAGE))
        value, shape = next((arrays[each] for each in sources if each in arrays), None), list(variable.shape)
        if value is None and name not in weights:
            continue  # a checkpoint without the optimizer's state
        if value is None or list(value.shape) != shape:
            there = "is not in it" if value is None else f"is {list(value.shape)} there and {shape} here"
            hint = " (add remake=false for a network without a decoder)" if name.startswith("recons/") else ""
            advice = f"Check --model, --dataset and --hparams_override{hint}."
            raise UserError(f"{checkpoint} is of another network: {name} {there}. {advice}")
        values[name] = value
    if broken := _not_finite(values):
        raise DamagedCheckpoint(checkpoint, f"{broken} holds numbers that are not finite")
    for name, value in values.items():
        variables[name].assign(value)
    if optimizer is not None and _adam(optimizer).iterations.path not in values:
        _adam(optimizer).iterations.assign(step_of(arrays))
    return step_of(arrays)


def step_of(arrays: Arrays) -> int:
    """The number of training steps of a checkpoint; released weights may have none, and 2017 counted in float32."""
    return int(arrays.get("global_step", 0))


def restore_latest(folder: Path, model: Classifier, optimizer) -> int:
    """Loads the newest good checkpoint of a folder and returns its step, 0 if there is no checkpoint.

    Damaged newer ones are reported and renamed.
    """
    damaged: dict[str, DamagedCheckpoint] = {}
    for name in (prefix(folder, step) for step in reversed(steps(folder))):
        try:
            restored = restore(name, model, optimizer)
        except DamagedCheckpoint as error:
            damaged[name] = error
            continue
        for bad, reason in damaged.items():
            say(f"{reason} It was renamed to damaged-{Path(bad).name}, and the checkpoint before it is used.")
            for path in filter(Path.exists, reversed(files(bad))):  # the index first: without it there is no checkpoint
                path.replace(path.with_name(f"damaged-{path.name}"))
        return restored
    if damaged:
        advice = f"{next(iter(damaged.values()))} Restore one from a backup, or give another --summary_dir."
        raise UserError(f"No checkpoint in {folder} can be read; nothing was changed. The newest: {advice}")
    return 0
