"""Makes a folder of `pretrained/` from a finished run: weights, config, card and checksums.

    python -m tools.ship S pretrained/NAME --data_dir=D

The weights become float16, which must change at most `--max_changed` predictions on the test split, by default none.
"""

import argparse
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from runner.config import NetworkConfig, RunConfig, flag_lines
from runner.flags import UserError, exit_code
from runner.startup import use_tensorflow


def ship(run: str, folder: Path, data_dir: str | None, max_changed: int) -> int:
    """Writes the folder, prints its card and returns 0; arguments as on the command line."""
    use_tensorflow()
    from models import pretrained
    from runner.loader import Data, load

    if folder.exists():
        raise UserError(f"{folder} exists. Remove it first, or give another name.")
    data = Data(data_dir)
    trained = load(run, data=data)
    saved, split = trained.config, data.for_network(trained.config)
    weights, facts = to_half(trained.model, split, max_changed)
    pretrained.write(folder, asdict(replace(saved, flags=_without_paths(saved))), weights, trained.step)
    facts["Size"] = f"`weights.npz` has {(folder / pretrained.WEIGHTS).stat().st_size / 1e6:.2f} MB"
    text = card(folder.name, trained, saved, split.info.name, facts)
    (folder / "README.md").write_text(text, encoding="utf-8", newline="\n")
    print(text)
    return 0


def to_half(model, split, max_changed: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The weights in float16, which the network has afterwards, and what the card says about them."""
    from runner.evaluation import evaluate
    from runner.steps import make_evaluation_step

    def test() -> tuple[str, np.ndarray]:
        result = evaluate(run_batch, split)
        said = f"{result.wrong:,} of {result.size:,} wrong, {result.percent:.3g} %"
        return said, np.sort(result.predictions["predictions"], axis=1)

    run_batch = make_evaluation_step(model)
    weights: dict[str, Any] = {}
    before, expected = test()
    for name, variable in model.named_variables().items():
        weights[name] = np.float16(variable.numpy())
        variable.assign(np.float32(weights[name]))
    after, predictions = test()
    if (changed := int((predictions != expected).any(axis=1).sum())) > max_changed:
        raise UserError(f"float16 changes {changed} predictions. Allow it with --max_changed={changed}.")
    after += f"; predictions that differ from float32's: {changed}"
    return weights, {"Test error, float32": before, "Test error of this file": after,
                     "Weights in the file": "float16; float32 when they are loaded"}  # fmt: skip


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
    model, examples, steps = trained.model, saved.data.get("examples"), saved.flags.get("batch_size", "?")
    both = "two labels an image, both of which must be right" if saved.num_targets == 2 else "one label an image"
    rows = {
        "Network": f"{type(model).__name__} (`--model={saved.model}`): {model.count_weights():,} trainable weights",
        "Images": f"{'x'.join(map(str, model.image_shape))}, {len(saved.class_names)} classes, {both}",
        "Data": data + (f", {examples:,} training examples" if examples else ""),
        "Recipe": f"`{recipe(saved)}`",
        "Commit": f"`{saved.git_commit}`",
        "Trained for": f"{trained.step:,} steps of {steps} images",
        **facts,
        "Licence": "Apache 2.0, like the code",
    }
    table = "".join(f"| {what} | {text} |\n" for what, text in rows.items())
    return (
        f"# {name}\n\n|  |  |\n|---|---|\n{table}\n"
        f"    python explore.py --checkpoint=pretrained:{name} --serve\n"
        f"    python experiment.py --checkpoint=pretrained:{name} --predict=PICTURE\n\n"
        f'In Python: `{type(model).__name__}.from_preset("{name}")`. The folder was made by `python -m tools.ship`.\n'
    )


def main(arguments: list[str]) -> int:
    """Writes the folder that the arguments name."""
    parser = argparse.ArgumentParser(prog="tools.ship", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="a run's folder, S/best or S/train/model.ckpt-STEP")
    parser.add_argument("folder", type=Path, help="the new folder, pretrained/NAME")
    parser.add_argument("--data_dir", help="the data set's files (default: the embedded sample of MNIST)")
    parser.add_argument("--max_changed", type=int, default=0, help="predictions that float16 may change (default 0)")
    return exit_code("tools.ship", lambda: ship(**vars(parser.parse_args(arguments))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
