"""Classifies a user's pictures with a trained network and prints a line for each."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explorer.reading import prepare, read_image
from input_data.formats.pictures import ENDINGS, below, not_pictures
from runner.evaluation import top_labels, write_predictions
from runner.flags import UserError
from runner.loader import Trained


@dataclass(frozen=True)
class Answer:
    """The network's answer to a picture.

    Attributes:
        name: the file.
        notes: what was done to the picture, in words.
        logits: float32 [classes], or None for a picture that could not be read.
        error: the reason if it could not be read.
    """

    name: str
    notes: list[str]
    logits: np.ndarray | None
    error: str = ""


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


def answers(paths: list[Path], trained: Trained, batch_size: int) -> Iterator[Answer]:
    """The network's answer to each picture in turn, computed `batch_size` pictures at a time."""
    for start in range(0, len(paths), batch_size):
        images, read = [], {}
        for path in paths[start : start + batch_size]:
            try:
                image, notes = prepare(read_image(path), trained)
            except ValueError as error:
                read[path] = error
                continue
            read[path] = notes
            images.append(image)
        logits = iter(np.asarray(trained.model(np.stack(images))["logits"]) if images else ())
        for path, notes in read.items():
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
    """Prints the network's answer to each picture, and writes all answers to a file if one is given.

    Args:
        where: see `locate`.
        trained: the network.
        batch_size: pictures at a time.
        say: prints a line.
        predictions: a file for names, predictions and logits of the pictures that could be read, see
            `runner.evaluation`.

    Raises:
        UserError: there are no pictures, the file for the predictions has another ending, or (after all answers) some
            pictures could not be read.
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
