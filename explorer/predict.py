"""Uses a trained network: classifies a user's pictures (`--predict`) and exports the network (`--export`)."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import input_data
from explorer.export import export
from input_data import DataError
from input_data.formats import pictures
from input_data.formats.pictures import ENDINGS, below, not_pictures
from input_data.progress import say
from runner.config import DEFAULT_NETWORK, RunConfig
from runner.devices import show_devices
from runner.evaluation import top_labels, write_predictions
from runner.flags import UserError
from runner.loader import Data, Trained, load


def use(config: RunConfig) -> int:
    """Exports a network (`--export`) and classifies pictures (`--predict`): the run's, else one that ships."""
    show_devices()
    network = config.checkpoint or config.summary_dir or DEFAULT_NETWORK
    if not config.checkpoint:
        say(f"No --checkpoint given: using --checkpoint={network}")
    trained = load(network, config, Data(config.data_dir), config.root)
    if config.export:
        say(export(trained, Path(config.export)))
    if config.predict:
        predict(config.predict, trained, config.eval_batch_size, config.predictions)
    return 0


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
    config, picture = trained.config, pictures.read(path)
    return input_data.prepare(config.dataset, picture, config.image_shape, config.class_names, config.options())


def answers(paths: list[Path], trained: Trained, batch_size: int) -> Iterator[tuple]:
    """The network's answer to each picture in turn, computed `batch_size` pictures at a time.

    An answer is (file, logits float32 [classes], words on what was done to the picture); of a picture that could not be
    read, it is (file, None, [the reason]).
    """
    for start in range(0, len(paths), batch_size):
        found: list[tuple] = []
        for path in paths[start : start + batch_size]:
            try:
                found.append((path, *read(path, trained)))
            except DataError as error:
                found.append((path, None, [str(error)]))
        images = [image for _, image, _ in found if image is not None]
        logits = iter(np.asarray(trained.model(np.stack(images))["logits"]) if images else ())
        for path, image, notes in found:
            yield path, None if image is None else next(logits), notes


def line(path: Path, logits: np.ndarray, notes: list[str], trained: Trained) -> str:
    """An answer in words: name, class or classes, runner-up, and what was done to the picture."""
    word, shown = trained.model.score_name, np.asarray(trained.model.scores(logits[None]))[0]
    best = top_labels(logits[None], trained.config.num_targets + 1)[0]
    parts = [f"{trained.config.class_names[label]} ({shown[label]:.2f})" for label in best]
    parts[0] = parts[0].replace(" (", f" ({word} ")
    text = " and ".join(parts[: trained.config.num_targets])
    text += "".join(f", runner-up {part}" for part in parts[trained.config.num_targets :])
    return f"{path}: {text}" + (f"  [{'; '.join(notes)}]" if notes else "")


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
    for path, found, notes in answers(paths, trained, batch_size):
        if found is None:
            say(f"{path}: not read. {notes[0]}")
        else:
            say(line(path, found, notes, trained))
            logits[str(path)] = found
    if predictions and logits:
        values = np.stack(list(logits.values()))
        best = top_labels(values, trained.config.num_targets)
        write_predictions(predictions, trained.config.class_names, values, best, names=list(logits))
    if len(logits) < len(paths):
        raise UserError(f"{len(paths) - len(logits)} of {len(paths)} pictures could not be read: see above.")
