"""Makes a folder of `pretrained/` from a finished run: weights, config, card and checksums.

    python -m runner.ship S pretrained/NAME --data_dir=D

The weights become float16 if that changes at most `--max_changed` predictions on the test split, by default none.
Otherwise only the decoder's weights do, on which no prediction depends. These are rounded further, so that they take
less space. The card says how many predictions differ.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from runner.startup import use_tensorflow

use_tensorflow()  # first, since Keras would load it with all the lines that it prints

import numpy as np

from input_data import Split, evaluation_batches
from models import pretrained
from models.network import Classifier
from runner import config, evaluation
from runner.config import NetworkSpec, SavedConfig
from runner.loader import Data, Trained, describe, load_described
from runner.naming import resolve
from runner.run_config import NetworkFlags, RunConfig, flag_lines
from runner.steps import make_evaluation_step

_EVALUATED = 100  # test examples at a time
_DECODER = "recons/"  # starts the names of its weights
_DECODER_BITS = 8  # of a float16's ten bits of mantissa: a file is 8 % smaller, a weight changes by at most 0.2 %


@dataclass(frozen=True)
class Rounded:
    """The weights to write, and their results on the test split.

    Attributes:
        weights: float16 or float32 arrays by name.
        before: result with the trained weights.
        after: result with these weights.
        changed: number of examples whose prediction differs.
        changed_by_half: the same number if all weights were float16.
    """

    weights: dict[str, np.ndarray]
    before: evaluation.Result
    after: evaluation.Result
    changed: int
    changed_by_half: int

    @property
    def in_words(self) -> str:
        """The precision of the weights."""
        kinds = {values.dtype.name for values in self.weights.values()}
        return kinds.pop() if len(kinds) == 1 else "float32, those of the decoder float16"


def ship(run: str, folder: Path, data_dir: str | None, num_pairs: int = 1, max_changed: int = 0) -> Rounded:
    """Writes the folder, completely or not at all.

    Args:
        run: any name of a checkpoint, see `runner.naming`.
        folder: a new folder, whose name becomes the network's name.
        data_dir: the files of the network's data set; None: the embedded sample.
        num_pairs: MultiMNIST: number of test pairs for each digit.
        max_changed: how many predictions float16 may change.

    Raises:
        ValueError: the folder exists, the checkpoint cannot be used, or the data are not the network's.
    """
    if folder.exists():
        raise ValueError(f"{folder} exists. Remove it first, or give another name.")
    prefix, data = resolve(run), Data(data_dir, num_pairs=num_pairs)
    saved = describe(prefix, NetworkFlags(), data)
    split = data.for_network(saved)
    trained = load_described(prefix, saved)
    rounded = round_weights(trained.model, split, max_changed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ship-", dir=folder.parent) as workshop:
        draft = Path(workshop) / folder.name
        draft.mkdir()
        pretrained.write_weights(draft / pretrained.WEIGHTS, rounded.weights, trained.step)
        config.write(draft, replace(saved, flags=_without_paths(saved)))
        sums = (pretrained.checksum_line(draft / name) for name in (pretrained.CONFIG, pretrained.WEIGHTS))
        (draft / pretrained.SUMS).write_text("".join(sums), encoding="utf-8", newline="\n")
        size = (draft / pretrained.WEIGHTS).stat().st_size
        text = card(folder.name, trained, saved, split, rounded, size)
        (draft / "README.md").write_text(text, encoding="utf-8", newline="\n")
        os.rename(draft, folder)
    return rounded


def round_weights(model: Classifier, split: Split, max_changed: int) -> Rounded:
    """Chooses the precision of a network's weights, and gives the network the rounded weights."""
    variables = model.named_variables()
    own = {name: variable.numpy() for name, variable in variables.items()}
    run_batch = make_evaluation_step(model)

    def evaluate() -> evaluation.Result:
        return evaluation.evaluate(run_batch, evaluation_batches(split, _EVALUATED, len(split)), len(split))

    before = evaluate()

    def rounded(is_half: Callable[[str], bool]) -> Rounded:
        weights = {name: _to_half(name, values) if is_half(name) else values for name, values in own.items()}
        for name, variable in variables.items():
            variable.assign(weights[name].astype(np.float32))
        after = evaluate()
        classes = [np.sort(result.predictions["predictions"], axis=1) for result in (before, after)]
        changed = int((classes[0] != classes[1]).any(axis=1).sum())
        return Rounded(weights, before, after, changed, changed)

    everything = rounded(lambda name: True)
    if everything.changed <= max_changed:
        return everything
    return replace(rounded(lambda name: name.startswith(_DECODER)), changed_by_half=everything.changed)


def _to_half(name: str, values: np.ndarray) -> np.ndarray:
    largest = np.finfo(np.float16).max
    if not (np.abs(values) <= largest).all():
        raise ValueError(f"{name} has numbers above {largest:,.0f}, the largest float16 number.")
    if name.startswith(_DECODER):
        mantissas, exponents = np.frexp(values)  # values = mantissas · 2^exponents, 0.5 ≤ |mantissas| < 1
        digits = _DECODER_BITS + 1
        values = np.ldexp(np.round(np.ldexp(mantissas, digits)), exponents - digits)
    return values.astype(np.float16)


def _without_paths(saved: SavedConfig) -> dict:
    """The run's flags without its paths, which make sense only on the machine that it ran on."""
    paths = {each.name for each in fields(RunConfig) if each.metadata["rule"].path}
    return {name: value for name, value in saved.flags.items() if name not in paths}


def recipe(saved: SavedConfig) -> str:
    """The command that trains the network, with the flags that are not at their defaults."""
    flags, defaults = _without_paths(saved), asdict(RunConfig()) | asdict(NetworkSpec())
    given = {name: flags[name] for name in defaults if name in flags and flags[name] != defaults[name]}
    lines = flag_lines({"data_dir": "D", "summary_dir": "S"} | given)
    return " ".join(["python experiment.py", *lines.split()])


def card(name: str, trained: Trained, saved: SavedConfig, split: Split, rounded: Rounded, size: int) -> str:
    """The text of a network's `README.md`; `size` is that of `weights.npz` in bytes."""
    model = trained.model
    images = "x".join(map(str, model.image_shape))
    decoder = "with a decoder" if model.decoder else "without a decoder"
    coarser = f", those of the decoder to {_DECODER_BITS} bits of mantissa" if model.decoder else ""
    both = ", both of which must be right" if trained.num_targets == 2 else ""
    examples = saved.data.get("examples")
    rows = {
        "Network": f"{type(model).__name__} (`--model={saved.network.model}`), {decoder}: "
        f"{model.count_weights():,} trainable weights",
        "Images": f"{images}, {len(saved.class_names)} classes, labels of an image: {trained.num_targets}{both}",
        "Data": split.info.name + (f", {examples:,} training examples" if examples else ""),
        "Recipe": f"`{recipe(saved)}`",
        "Commit": f"`{saved.git_commit}`" if saved.git_commit else "not recorded",
        "Trained for": f"{trained.step:,} steps of {saved.flags.get('batch_size', '?')} images",
        "Test error, float32": _error(rounded.before),
        "Test error of this file": f"{_error(rounded.after)}; "
        f"predictions that differ from float32's: {rounded.changed}",
        "Weights in the file": f"{rounded.in_words}{coarser}; float32 when they are loaded",
        "If all weights were float16": f"predictions that would differ: {rounded.changed_by_half}",
        "Size": f"`{pretrained.WEIGHTS}` has {size / 1e6:.2f} MB",
        "Checksums": f"`{pretrained.SUMS}`, checked at each load",
        "Licence": "Apache 2.0, like the code",
    }
    table = "".join(f"| {what} | {text} |\n" for what, text in rows.items())
    return (
        f"# {name}\n\n|  |  |\n|---|---|\n{table}\n"
        f"    python explore.py --checkpoint=pretrained:{name} --serve\n"
        f"    python experiment.py --checkpoint=pretrained:{name} --predict=PICTURE\n\n"
        f'In Python: `models.load_pretrained("{name}")`. The folder was made by `python -m runner.ship`.\n'
    )


def _error(result: evaluation.Result) -> str:
    return f"{result.wrong:,} of {result.size:,} wrong, {result.percent:.3g} %"


def main(arguments: list[str]) -> int:
    """Writes the folder that the arguments name."""
    parser = argparse.ArgumentParser(prog="runner.ship", description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a run's folder, S/best or S/train/model.ckpt-STEP")
    parser.add_argument("folder", type=Path, help="the new folder, pretrained/NAME")
    parser.add_argument("--data_dir", help="the data set's files (default: the embedded sample of MNIST)")
    parser.add_argument("--num_pairs", type=int, default=1, help="MultiMNIST: number of test pairs for each digit")
    parser.add_argument("--max_changed", type=int, default=0, help="predictions that float16 may change (default 0)")
    flags = parser.parse_args(arguments)
    try:
        rounded = ship(flags.run, flags.folder, flags.data_dir, flags.num_pairs, flags.max_changed)
    except (ValueError, OSError) as error:
        print(f"runner.ship: error: {error}", file=sys.stderr)
        return 1
    print(
        f"{flags.folder}: {rounded.in_words}. Predictions that differ: {rounded.changed}; "
        f"if all weights were float16: {rounded.changed_by_half}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
