"""Uses a trained network: classifies a user's pictures (`--predict`) and exports the network (`--export`)."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import input_data
from explorer.export import export
from input_data import DataError
from input_data.formats import pictures
from input_data.formats.pictures import ENDINGS, below, not_pictures
from input_data.progress import say
from runner.config import RunConfig
from runner.devices import show_devices
from runner.evaluation import top_labels, write_predictions
from runner.flags import UserError
from runner.loader import Data, Trained, load


def use(config: RunConfig) -> int:
    """Exports a network (`--export`) and classifies pictures (`--predict`); see `RunConfig.used_network`."""
    show_devices()
    if not config.checkpoint:
        say(f"No --checkpoint given: using --checkpoint={config.used_network}")
    trained = load(config.used_network, config, Data(config.data_dir), config.root)
    if config.export:
        say(export(trained, Path(config.export)))
    if config.predict:
        predict(config.predict, trained, config.eval_batch_size, config.predictions)
    return 0


@dataclass(frozen=True)
class Answer:
    """The network's answer to a picture."""

    name: str  # the file
    notes: list[str]  # what was done to the picture, in words
    logits: np.ndarray | None  # float32 [classes]; None for a picture that could not be read
    error: str = ""  # the reason if it could not be read


def locate(where: str) -> list[Path]:
    """The pictures that a file name, a folder (with all below it, by links too) or a pattern names, sorted.

    Hidden files, such as a Mac's companion files, are skipped. UserError: there are no such pictures.
    """
    if os.path.isdir(where):
        located = below(Path(where))[0]
    else:  # a pattern with ** may name one twice, and the name of a file may have brackets
        names = [where] if os.path.isfile(where) else glob.glob(where, recursive=True)
        located = sorted(path for path in {Path(name) for name in names} if path.is_file())
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
        images, found = [], []
        for path in paths[start : start + batch_size]:
            try:
                image, notes = read(path, trained)
                images.append(image)
                found.append((path, notes, ""))
            except DataError as error:
                found.append((path, [], str(error)))
        logits = iter(np.asarray(trained.model(np.stack(images))["logits"]) if images else ())
        for path, notes, error in found:
            yield Answer(str(path), notes, None if error else next(logits), error)


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


def predict(where: str, trained: Trained, batch_size: int, predictions: str | None = None) -> None:
    """Prints the network's answer to each picture, `batch_size` at a time, and writes all to a file if one is given.

    Raises:
        UserError: there are no pictures (see `locate`), the file for the predictions has another ending (see
            `runner.evaluation`), or, after all answers, some pictures could not be read.
    """
    paths = locate(where)
    if others := below(Path(where))[1] if os.path.isdir(where) else []:
        say(f"Passed over in {where}: {not_pictures(others)}.")
    logits = {}
    for answer in answers(paths, trained, batch_size):
        say(line(answer, trained))
        if answer.logits is not None:
            logits[answer.name] = answer.logits
    if predictions and logits:
        values = np.stack(list(logits.values()))
        best = top_labels(values, trained.num_targets)
        write_predictions(predictions, trained.class_names, values, best, names=list(logits))
    if len(logits) < len(paths):
        raise UserError(f"{len(paths) - len(logits)} of {len(paths)} pictures could not be read: see above.")
