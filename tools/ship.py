"""Makes a folder of `pretrained/` from a finished run: weights, config, card and checksums.

    python -m tools.ship S pretrained/NAME --data_dir=D

The weights become float16 if that changes at most `--max_changed` predictions on the test split, by default none.
Otherwise only the decoder's weights do, on which no prediction depends.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np

from runner.config import NetworkConfig, NetworkFlags, RunConfig, flag_lines
from runner.flags import UserError, exit_code
from runner.startup import use_tensorflow


def ship(run: str, folder: Path, data_dir: str | None = None, num_pairs: int = 1, max_changed: int = 0) -> int:
    """Writes the folder, completely or not at all, prints its card and returns 0; arguments as on the command line."""
    use_tensorflow()
    from models import pretrained
    from runner.loader import Data, describe, load_described, resolve

    if folder.exists():
        raise UserError(f"{folder} exists. Remove it first, or give another name.")
    prefix, data = resolve(run), Data(data_dir, num_pairs=num_pairs)
    saved = describe(prefix, NetworkFlags(), data)
    split, trained = data.for_network(saved), load_described(prefix, saved)
    weights, facts = round_weights(trained.model, split, max_changed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ship-", dir=folder.parent) as workshop:
        draft = Path(workshop) / folder.name
        pretrained.write(draft, asdict(replace(saved, flags=_without_paths(saved))), weights, trained.step)
        facts["Size"] = f"`weights.npz` has {(draft / pretrained.WEIGHTS).stat().st_size / 1e6:.2f} MB"
        text = card(folder.name, trained, saved, split.info.name, facts)
        (draft / "README.md").write_text(text, encoding="utf-8", newline="\n")
        os.rename(draft, folder)
    print(text)
    return 0


def round_weights(model, split, max_changed: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The weights to write, which the network has afterwards, and what the card says about them."""
    from input_data import evaluation_batches
    from runner.evaluation import evaluate
    from runner.steps import make_evaluation_step

    def test():
        result = evaluate(run_batch, evaluation_batches(split, 100, len(split)), len(split))
        said = f"{result.wrong:,} of {result.size:,} wrong, {result.percent:.3g} %"
        return said, np.sort(result.predictions["predictions"], axis=1)

    run_batch = make_evaluation_step(model)
    own = {name: variable.numpy() for name, variable in model.named_variables().items()}
    before, expected = test()
    for start, kind in (("", "float16"), ("recons/", "float32, those of the decoder float16")):
        weights = {name: _to_half(values) if name.startswith(start) else values for name, values in own.items()}
        for name, variable in model.named_variables().items():
            variable.assign(weights[name].astype(np.float32))
        after, predictions = test()
        changed = int((predictions != expected).any(axis=1).sum())
        after += f"; predictions that differ from float32's: {changed}"
        facts = {"Test error, float32": before, "Test error of this file": after}
        facts["Weights in the file"] = f"{kind}; float32 when they are loaded"
        if changed <= max_changed:
            break
    return weights, facts


def _to_half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)


def _without_paths(saved) -> dict:
    """The run's flags without its paths, which make sense only on the machine that it ran on."""
    paths = {each.name for each in fields(RunConfig) if each.metadata["path"]}
    return {name: value for name, value in saved.flags.items() if name not in paths}


def recipe(saved) -> str:
    """The command that trains the network, with the flags that are not at their defaults."""
    flags, defaults = _without_paths(saved), asdict(RunConfig()) | dict(NetworkConfig().flags)
    given = {name: flags[name] for name in defaults if name in flags and flags[name] != defaults[name]}
    return f"python experiment.py --data_dir=D --summary_dir=S {flag_lines(given)}".strip().replace("\n", " ")


def card(name: str, trained, saved, data: str, facts: dict[str, str]) -> str:
    """The text of a network's `README.md`."""
    model, kind, examples = trained.model, type(trained.model).__name__, saved.data.get("examples")
    both = "two labels an image, both of which must be right" if trained.num_targets == 2 else "one label an image"
    rows = {
        "Network": f"{kind} (`--model={saved.model}`): {model.count_weights():,} trainable weights",
        "Images": f"{'x'.join(map(str, model.image_shape))}, {len(saved.class_names)} classes, {both}",
        "Data": data + (f", {examples:,} training examples" if examples else ""),
        "Recipe": f"`{recipe(saved)}`",
        "Commit": f"`{saved.git_commit}`",
        "Trained for": f"{trained.step:,} steps of {saved.flags.get('batch_size', '?')} images",
        **facts,
        "Licence": "Apache 2.0, like the code",
    }
    table = "".join(f"| {what} | {text} |\n" for what, text in rows.items())
    return (
        f"# {name}\n\n|  |  |\n|---|---|\n{table}\n"
        f"    python explore.py --checkpoint=pretrained:{name} --serve\n"
        f"    python experiment.py --checkpoint=pretrained:{name} --predict=PICTURE\n\n"
        f'In Python: `models.load_pretrained("{name}")`. The folder was made by `python -m tools.ship`.\n'
    )


def main(arguments: list[str]) -> int:
    """Writes the folder that the arguments name."""
    parser = argparse.ArgumentParser(prog="tools.ship", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="a run's folder, S/best or S/train/model.ckpt-STEP")
    parser.add_argument("folder", type=Path, help="the new folder, pretrained/NAME")
    parser.add_argument("--data_dir", help="the data set's files (default: the embedded sample of MNIST)")
    parser.add_argument("--num_pairs", type=int, default=1, help="MultiMNIST: number of test pairs for each digit")
    parser.add_argument("--max_changed", type=int, default=0, help="predictions that float16 may change (default 0)")
    flags = vars(parser.parse_args(arguments))
    return exit_code("tools.ship", lambda: ship(**flags))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
