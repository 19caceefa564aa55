"""Uses a trained network: classifies a user's pictures (`--predict`) and exports the network (`--export`)."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import input_data
from explorer.export import export
from input_data.formats import pictures
from input_data.formats.pictures import ENDINGS, below, not_pictures
from input_data.progress import say
from runner.devices import show_devices
from runner.evaluation import top_labels, write_predictions
from runner.flags import UserError
from runner.loader import Data, Trained, load
from runner.run_config import RunConfig


def use(config: RunConfig) -> int:
    """Exports a network (`--export`) and classifies pictures (`--predict`); see `RunConfig.used_network`."""
    show_devices(config.gpus)
    if not config.checkpoint:
        say(f"No --checkpoint given: using --checkpoint={config.used_network}")
    trained = load(config.used_network, config, Data(config.data_dir), config.root, config.averaged)
    if config.export:
        say(export(trained, Path(config.export)))
    if config.predict:
        predict(config.predict, trained, config.eval_batch_size, say, config.predictions)
    return 0


@dataclass(frozen=True)
class Answer:
    """The network's answer to a picture."""

    name: str  # the file
    notes: list[str]  # what was done to the picture, in words
    logits: np.ndarray | None  # float32 [classes]; None for a picture that could not be read
    error: str = ""  # the reason if it could not be read


def locate(where: str) -> list[Path]:
    """Returns the pictures that a file name, a folder (with all below it, by links too) or a pattern names, sorted.

    Files and folders whose names begin with a dot, such as a Mac's companion files, are skipped.

    Raises:
        UserError: there are no such pictures.
    """
    path = Path(where).expanduser()
    if os.path.isdir(path):
        paths = set(below(path)[0])
    elif os.path.isfile(path):
        paths = {path}
    else:
        paths = {Path(name) for name in glob.glob(str(path), recursive=True)}  # a pattern with ** may name one twice
    located = sorted(item for item in paths if item.is_file())
    if not located:
        raise UserError(
            f"--predict takes a picture, a folder with pictures ({', '.join(ENDINGS)}) or a glob pattern. "
            f"No picture was found at: {where}"
        )
    return located


def read(path: Path, trained: Trained) -> tuple[np.ndarray, list[str]]:
    """Reads a picture file and prepares it for the network as `input_data.prepare` does, with the same errors."""
    shape, names = trained.model.image_shape, trained.class_names
    return input_data.prepare(trained.dataset, pictures.read(path), shape, names, trained.options)


def answers(paths: list[Path], trained: Trained, batch_size: int) -> Iterator[Answer]:
    """The network's answer to each picture in turn, computed `batch_size` pictures at a time."""
    for start in range(0, len(paths), batch_size):
        images, found = [], {}
        for path in paths[start : start + batch_size]:
            try:
                image, found[path] = read(path, trained)
                images.append(image)
            except ValueError as error:
                found[path] = error
        logits = iter(np.asarray(trained.model(np.stack(images))["logits"]) if images else ())
        for path, notes in found.items():
            if isinstance(notes, ValueError):
                yield Answer(str(path), [], None, str(notes))
            else:
                yield Answer(str(path), notes, next(logits))


def line(answer: Answer, trained: Trained) -> str:
    """An answer in words: name, class or classes, runner-up, and what was done to the picture."""
    if answer.logits is None:
        return f"{answer.name}: not read. {answer.error}"
    word, shown = trained.model.score_name, np.asarray(trained.model.scores(answer.logits[None]))[0]
    best = top_labels(answer.logits[None], trained.num_targets + 1)[0]
    parts = [f"{trained.class_names[label]} ({shown[label]:.2f})" for label in best]
    parts[0] = parts[0].replace(" (", f" ({word} ")
    text = " and ".join(parts[: trained.num_targets])
    text += "".join(f", runner-up {part}" for part in parts[trained.num_targets :])
    return f"{answer.name}: {text}" + (f"  [{'; '.join(answer.notes)}]" if answer.notes else "")


def predict(where: str, trained: Trained, batch_size: int, say, predictions: str | None = None) -> None:
    """Prints the network's answer to each picture, `batch_size` at a time, and writes all to a file if one is given.

    Raises:
        UserError: there are no pictures (see `locate`), the file for the predictions has another ending (see
            `runner.evaluation`), or, after all answers, some pictures could not be read.
    """
    paths = locate(where)
    folder = Path(where).expanduser()
    others = below(folder)[1] if folder.is_dir() else []
    if others:
        say(f"Passed over in {folder}: {not_pictures(others)}.")
    names, logits = [], []
    for answer in answers(paths, trained, batch_size):
        say(line(answer, trained))
        if answer.logits is not None:
            names.append(answer.name)
            logits.append(answer.logits)
    if predictions and names:
        values = np.stack(logits)
        best = top_labels(values, trained.num_targets)
        write_predictions(predictions, trained.class_names, values, best, names=names)
    if len(names) < len(paths):
        raise UserError(f"{len(paths) - len(names)} of {len(paths)} pictures could not be read: see above.")
