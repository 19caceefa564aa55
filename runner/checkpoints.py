"""Reads and writes checkpoints `model.ckpt-STEP` in the format and with the names of 2017.

A checkpoint is a TF 1 Saver file (V2 bundle: `.index` and `.data-00000-of-00001`) with the weights under the names of
2017, `global_step` and Adam's slots. One reader therefore serves our checkpoints and the released ones, and the code of
2017 could load ours.
Each of ours has a file `.sha256`, as the program sha256sum writes it, which is checked before TensorFlow reads the
others: its reader can end the process on a damaged index. A file gets its name only when it is complete, and only
finite weights are saved.
"""

import hashlib
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
from models import pretrained
from models.classifier import Classifier
from runner.flags import UserError

INDEX, _DATA, _SUMS = ".index", ".data-00000-of-00001", ".sha256"
_AVERAGE = "/ExponentialMovingAverage"  # TF 1's ending of the name of an averaged weight
_OUR_NAME = re.compile(r"model\.ckpt-(0|[1-9][0-9]*)")
_PLAIN = re.compile(r"[\w./~+=,@: -]*", re.ASCII)  # TensorFlow's reader takes other names for patterns
Arrays = dict[str, np.ndarray]


class CheckpointError(UserError):
    """A checkpoint that cannot be used or written."""


class MissingCheckpoint(CheckpointError):
    """There is no such checkpoint; the training job that wrote it may have deleted it since."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint that is cut short, corrupted, or has values that training never writes."""


def prefix(folder: Path, step: int) -> str:
    """A checkpoint's prefix: the path of its files without their endings."""
    return str(Path(folder) / f"model.ckpt-{step}")


def steps(folder: Path) -> list[int]:
    """The steps of a folder's checkpoints, in ascending order."""
    names = (_OUR_NAME.fullmatch(path.name.removesuffix(INDEX)) for path in Path(folder).glob(f"model.ckpt-*{INDEX}"))
    return sorted(int(name[1]) for name in names if name)


def files(checkpoint: str) -> list[Path]:
    """The files of one of our checkpoints, which may not exist, in the order in which they are written."""
    return [Path(f"{checkpoint}{ending}") for ending in (_DATA, _SUMS, INDEX)]


def minutes(checkpoint: str) -> float:
    """The minutes of training until one of our checkpoints; 0 if that was not written."""
    path = files(checkpoint)[1]
    found = re.search(r"^# ([\d.]+) minutes", path.read_text(encoding="utf-8"), re.M) if path.is_file() else None
    return float(found[1]) if found else 0.0


def last_good(folder: Path, step: int) -> str:
    """Advice after a run has diverged: names its newest checkpoint of `step` steps or fewer."""
    good = [each for each in steps(folder) if each <= step]
    if not good:
        return "No earlier checkpoint was saved: lower learning_rate and start again in another --summary_dir."
    return (
        f"The last good checkpoint is {prefix(folder, good[-1])}: lower learning_rate and start from it with "
        "--checkpoint in another --summary_dir."
    )


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
        draft = str(workshop / Path(target).name)
        with tf.device("CPU:0"):
            tf.raw_ops.SaveV2(
                prefix=os.fsencode(draft),
                tensor_names=list(tensors),
                shape_and_slices=[""] * len(tensors),
                tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
            )
        lines = [f"{_sha256(path)}  {path.name}\n" for path in (Path(draft + INDEX), Path(draft + _DATA))]
        Path(draft + _SUMS).write_text(f"# {minutes:.2f} minutes of training\n{''.join(lines)}", encoding="utf-8")
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
    for old in _up_to(folder, step)[:-keep]:
        for path in reversed(files(prefix(folder, old))):
            path.unlink(missing_ok=True)


def _up_to(folder: Path, step: int) -> list[int]:
    """The steps of the run's checkpoints up to `step`; later ones are from before the run was set back."""
    return [each for each in steps(folder) if each <= step]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _not_finite(tensors: Arrays) -> str | None:
    """The name of the first tensor with a NaN or an infinite number."""
    return next((name for name, value in tensors.items() if not np.isfinite(value).all()), None)


def _write_state_file(folder: Path, step: int) -> None:
    """Writes the file `checkpoint`, in which TF 1 and other tools look up the newest checkpoint."""
    names = [f"model.ckpt-{each}" for each in _up_to(folder, step)]
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    with atomic_write(folder / "checkpoint") as (draft,):
        draft.write_text("\n".join(lines) + "\n")


def tidy(folder: Path, keep: int = 1000) -> None:
    """Finishes what a killed run left half done, before training goes on from the newest checkpoint of its folder."""
    folder = Path(folder)
    for path in folder.glob(".saving-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in [*folder.glob(f"model.ckpt-*{_DATA}"), *folder.glob(f"model.ckpt-*{_SUMS}")]:
        if not Path(str(path).removesuffix(_DATA).removesuffix(_SUMS) + INDEX).exists():
            path.unlink()
    if found := steps(folder):
        _prune(folder, found[-1], keep)
        _write_state_file(folder, found[-1])


def read(checkpoint: str) -> Arrays:
    """The arrays of a checkpoint by name: one of ours, one of 2017, or the weights of a pretrained network.

    Args:
        checkpoint: its prefix, `…/model.ckpt-STEP`, or `…/weights.npz` in a folder in the form of `pretrained/NAME`.

    Raises:
        MissingCheckpoint: there is no such checkpoint.
        DamagedCheckpoint: it is cut short or does not fit its checksum.
    """
    path = Path(checkpoint)
    if path.name == pretrained.WEIGHTS:
        try:
            return pretrained.read_weights(path.parent)
        except ValueError as error:
            raise DamagedCheckpoint(str(error)) from None
    if not Path(checkpoint + INDEX).is_file():
        raise MissingCheckpoint(f"There is no checkpoint {checkpoint} ({checkpoint}{INDEX} does not exist).")
    try:
        if (sums := Path(checkpoint + _SUMS)).is_file():
            for line in sums.read_text(encoding="utf-8").splitlines():
                digest, _, name = line.partition("  ")
                if not line.startswith("#") and _sha256(path.with_name(name)) != digest:
                    raise _damaged(checkpoint, f"{name} does not fit its checksum")
        if _PLAIN.fullmatch(checkpoint):
            return _read_bundle(checkpoint)
        with tempfile.TemporaryDirectory() as folder:
            for file in path.parent.iterdir():
                if file.name.startswith(f"{path.name}."):
                    link = f"{folder}/model.ckpt{file.name.removeprefix(path.name)}"
                    os.symlink(file.absolute(), link)
            return _read_bundle(f"{folder}/model.ckpt")
    except (tf.errors.OpError, FileNotFoundError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        if not Path(checkpoint + INDEX).is_file():
            raise MissingCheckpoint(f"The checkpoint {checkpoint} was deleted while it was read.") from None
        raise _damaged(checkpoint, getattr(error, "message", None) or str(error)) from None


def _read_bundle(checkpoint: str) -> Arrays:
    reader = tf.train.load_checkpoint(checkpoint)
    return {name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()}


def _damaged(checkpoint: str, reason: str) -> DamagedCheckpoint:
    return DamagedCheckpoint(f"The checkpoint {checkpoint} is cut short or damaged: {reason}.")


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

    Raises:
        CheckpointError: it is of another network; the message names the variable and both shapes.
        MissingCheckpoint: there is no such checkpoint.
        DamagedCheckpoint: it is cut short or corrupted, lacks some of the saved variables, or is not finite.
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
            raise _damaged(checkpoint, f"{name} is {value.dtype} and should be {variable.dtype}")
        values[name] = value
    _check_whole(checkpoint, arrays, set(variables) - set(weights))
    step = _step(checkpoint, arrays)
    if broken := _not_finite(values):
        raise _damaged(checkpoint, f"{broken} holds numbers that are not finite")
    for name, value in values.items():
        variables[name].assign(value)
    if optimizer is not None and _adam(optimizer).iterations.path not in values:
        _adam(optimizer).iterations.assign(step)
    return step


def _check_whole(checkpoint: str, arrays: Arrays, names: set[str]) -> None:
    """Raises DamagedCheckpoint if only some of Adam's slots, or of another group of variables, are there."""
    groups: dict[str, set[str]] = {}
    for name in names:
        ending = re.search(rf"/(Adam)(_1)?$|({_AVERAGE})$", name)
        kind = (ending[1] or ending[3]) if ending else re.split("/|_[0-9]", name)[0]  # loss_scale, random_state
        groups.setdefault(kind, set()).add(name)
    for group in groups.values():
        missing = sorted(group - set(arrays))
        if missing and len(missing) < len(group):
            raise _damaged(checkpoint, f"{missing[0]} is not in it, unlike {min(group & set(arrays))}")


def _step(checkpoint: str, arrays: Arrays) -> int:
    """The number of training steps, checked against the name of the checkpoint if a run of ours wrote it."""
    path = Path(checkpoint)
    name = _OUR_NAME.fullmatch(path.name) if (path.parent / "config.json").exists() else None
    value = arrays.get("global_step")
    if value is None and not name:
        return 0  # a checkpoint from 2017 without training state
    # The code of 2017 counted in float32.
    if value is None or value.shape != () or value.dtype.kind not in "if" or value < 0 or value != np.floor(value):
        raise _damaged(checkpoint, f"its global_step is {value}, no whole number")
    if name and int(value) != int(name[1]):
        raise _damaged(checkpoint, f"its global_step is {int(value)}")
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
            for path in reversed(files(prefix(folder, bad))):  # the index first: without it there is no checkpoint
                if path.exists():
                    path.replace(path.with_name(f"damaged-{path.name}"))
        return restored
    if damaged:
        raise CheckpointError(
            f"None of the {len(damaged)} checkpoints in {folder} can be read; nothing was changed. "
            f"The newest: {damaged[max(damaged)]} Restore one from a backup, or give another --summary_dir."
        )
    return 0
