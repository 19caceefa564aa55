"""Makes a folder of `pretrained/` from a finished run: weights, config, card and checksums.

    python -m tools.ship S pretrained/NAME --data_dir=D

The weights become float16 if that changes at most `--max_changed` predictions on the test split, by default none.
Otherwise only the decoder's weights do, on which no prediction depends. These are rounded further, so that they take
less space. The card says how many predictions differ.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from runner.flags import UserError, exit_code
from runner.run_config import NetworkFlags, RunConfig, flag_lines
from runner.startup import use_tensorflow

_DECODER = "recons/"  # starts the names of its weights
_DECODER_BITS = 8  # of a float16's ten bits of mantissa: a file is 8 % smaller, a weight changes by at most 0.2 %


@dataclass(frozen=True)
class Rounded:
    """The weights to write, the results on the test split before and after, and how many predictions changed."""

    weights: dict[str, np.ndarray]
    before: Any
    after: Any
    changed: int
    changed_by_half: int

    @property
    def in_words(self) -> str:
        """The precision of the weights."""
        kinds = {values.dtype.name for values in self.weights.values()}
        return kinds.pop() if len(kinds) == 1 else "float32, those of the decoder float16"


def ship(run: str, folder: Path, data_dir: str | None, num_pairs: int = 1, max_changed: int = 0) -> Rounded:
    """Writes the folder, completely or not at all; arguments as on the command line.

    Raises:
        UserError: the folder exists, the checkpoint cannot be used, or the data are not the network's.
    """
    from models import pretrained
    from runner import config
    from runner.loader import Data, describe, load_described
    from runner.naming import resolve

    if folder.exists():
        raise UserError(f"{folder} exists. Remove it first, or give another name.")
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


def round_weights(model, split, max_changed: int) -> Rounded:
    """Chooses the precision of a network's weights, and gives the network the rounded weights."""
    from input_data import evaluation_batches
    from runner.evaluation import evaluate
    from runner.steps import make_evaluation_step

    variables = model.named_variables()
    own = {name: variable.numpy() for name, variable in variables.items()}
    run_batch = make_evaluation_step(model)
    before = evaluate(run_batch, evaluation_batches(split, 100, len(split)), len(split))

    def rounded(start: str) -> Rounded:
        weights = {name: _to_half(name, values) if name.startswith(start) else values for name, values in own.items()}
        for name, variable in variables.items():
            variable.assign(weights[name].astype(np.float32))
        after = evaluate(run_batch, evaluation_batches(split, 100, len(split)), len(split))
        classes = [np.sort(result.predictions["predictions"], axis=1) for result in (before, after)]
        changed = int((classes[0] != classes[1]).any(axis=1).sum())
        return Rounded(weights, before, after, changed, changed)

    everything = rounded("")
    return everything if everything.changed <= max_changed else replace(
        rounded(_DECODER), changed_by_half=everything.changed
    )  # fmt: skip


def _to_half(name: str, values: np.ndarray) -> np.ndarray:
    largest = np.finfo(np.float16).max
    if not (np.abs(values) <= largest).all():
        raise UserError(f"{name} has numbers above {largest:,.0f}, the largest float16 number.")
    if name.startswith(_DECODER):
        mantissas, exponents = np.frexp(values)  # values = mantissas · 2^exponents, 0.5 ≤ |mantissas| < 1
        digits = _DECODER_BITS + 1
        values = np.ldexp(np.round(np.ldexp(mantissas, digits)), exponents - digits)
    return values.astype(np.float16)


def _without_paths(saved) -> dict:
    """The run's flags without its paths, which make sense only on the machine that it ran on."""
    paths = {each.name for each in fields(RunConfig) if each.metadata["rule"].path}
    return {name: value for name, value in saved.flags.items() if name not in paths}


def recipe(saved) -> str:
    """The command that trains the network, with the flags that are not at their defaults."""
    from runner.config import NetworkConfig

    flags, defaults = _without_paths(saved), asdict(RunConfig()) | dict(NetworkConfig().flags)
    given = {name: flags[name] for name in defaults if name in flags and flags[name] != defaults[name]}
    lines = flag_lines({"data_dir": "D", "summary_dir": "S"} | given)
    return " ".join(["python experiment.py", *lines.split()])


def card(name: str, trained, saved, split, rounded: Rounded, size: int) -> str:
    """The text of a network's `README.md`; `size` is that of `weights.npz` in bytes."""
    model = trained.model
    coarser = f", those of the decoder to {_DECODER_BITS} bits of mantissa" if model.decoder else ""
    both = ", both of which must be right" if trained.num_targets == 2 else ""
    examples = saved.data.get("examples")
    rows = {
        "Network": f"{type(model).__name__} (`--model={saved.model}`), with{'' if model.decoder else 'out'} a decoder: "
        f"{model.count_weights():,} trainable weights",
        "Images": f"{'x'.join(map(str, model.image_shape))}, {len(saved.class_names)} classes, labels of an image: "
        f"{trained.num_targets}{both}",
        "Data": split.info.name + (f", {examples:,} training examples" if examples else ""),
        "Recipe": f"`{recipe(saved)}`",
        "Commit": f"`{saved.git_commit}`" if saved.git_commit else "not recorded",
        "Trained for": f"{trained.step:,} steps of {saved.flags.get('batch_size', '?')} images",
        "Test error, float32": _error(rounded.before),
        "Test error of this file": f"{_error(rounded.after)}; "
        f"predictions that differ from float32's: {rounded.changed}",
        "Weights in the file": f"{rounded.in_words}{coarser}; float32 when they are loaded",
        "If all weights were float16": f"predictions that would differ: {rounded.changed_by_half}",
        "Size": f"`weights.npz` has {size / 1e6:.2f} MB",
        "Checksums": "`SHA256SUMS`, checked at each load",
        "Licence": "Apache 2.0, like the code",
    }
    table = "".join(f"| {what} | {text} |\n" for what, text in rows.items())
    return (
        f"# {name}\n\n|  |  |\n|---|---|\n{table}\n"
        f"    python explore.py --checkpoint=pretrained:{name} --serve\n"
        f"    python experiment.py --checkpoint=pretrained:{name} --predict=PICTURE\n\n"
        f'In Python: `models.load_pretrained("{name}")`. The folder was made by `python -m tools.ship`.\n'
    )


def _error(result) -> str:
    return f"{result.wrong:,} of {result.size:,} wrong, {result.percent:.3g} %"


def main(arguments: list[str]) -> int:
    """Writes the folder that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="tools.ship", description="Makes a folder of pretrained/ from a finished run."
    )
    parser.add_argument("run", help="a run's folder, S/best or S/train/model.ckpt-STEP")
    parser.add_argument("folder", type=Path, help="the new folder, pretrained/NAME")
    parser.add_argument("--data_dir", help="the data set's files (default: the embedded sample of MNIST)")
    parser.add_argument("--num_pairs", type=int, default=1, help="MultiMNIST: number of test pairs for each digit")
    parser.add_argument("--max_changed", type=int, default=0, help="predictions that float16 may change (default 0)")
    flags = parser.parse_args(arguments)

    def job() -> int:
        use_tensorflow()
        rounded = ship(flags.run, flags.folder, flags.data_dir, flags.num_pairs, flags.max_changed)
        print(
            f"{flags.folder}: {rounded.in_words}. Predictions that differ: {rounded.changed}; "
            f"if all weights were float16: {rounded.changed_by_half}"
        )
        return 0

    return exit_code("tools.ship", job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
