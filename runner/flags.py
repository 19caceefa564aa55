"""The flags of `experiment.py`: those of 2017 with their defaults, and ours, grouped by task."""

import argparse
from dataclasses import fields

from models.hparams import PRESETS, HParams


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"expected true or false, received {text!r}") from None


def _at_least(low: int):
    def parse(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < low:
            raise argparse.ArgumentTypeError(f"expected a whole number, {low} or more, received {text!r}")
        return int(text)

    return parse


def _flag(group, name: str, help: str, **options) -> None:
    default = options.get("default")
    if isinstance(default, bool):
        options |= {"type": _boolean, "nargs": "?", "const": True, "metavar": "true|false"}
    if default is not None:
        help += f" (default: {str(default).lower() if isinstance(default, bool) else default})"
    group.add_argument(f"--{name}", help=help, **options)


def _hparams_help() -> str:
    lines = ", ".join(f"{field.name}={field.default}" for field in fields(HParams))
    return f"hparams and their defaults, for --hparams_override:\n  {lines}"


def make_parser(datasets: list[str], models: list[str]) -> argparse.ArgumentParser:
    """The parser; `datasets` and `models` are the names there are."""
    parser = argparse.ArgumentParser(
        description="Trains and evaluates capsule networks (Sabour, Frosst, Hinton 2017). "
        "With no flag at all: a few minutes of training on the embedded digits, into runs/.",
        epilog=_hparams_help(),
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110),
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what")
    _flag(what, "model", "the network", choices=models, default="capsule")
    presets = "; ".join(f"{name}: {override}" for name, override in PRESETS.items())
    _flag(what, "preset", f"hparams of one of the paper's networks ({presets})", choices=PRESETS)
    _flag(what, "hparams_override", "changes of hparams: name=value,name=value", metavar="PAIRS")
    _flag(what, "summary_dir", "where checkpoints (train/) and results (test/) go", metavar="DIR")
    _flag(what, "seed", "seed of weights, data order and augmentation", type=_at_least(0), default=0, metavar="N")

    data = parser.add_argument_group("data")
    _flag(data, "dataset", "the data set", choices=datasets, default="mnist")
    _flag(data, "data_dir", "its files; none: the embedded sample of MNIST", metavar="DIR")
    _flag(data, "num_targets", "digits in an image", type=int, choices=(1, 2), default=1)
    _flag(data, "num_pairs", "MultiMNIST: test pairs of each digit", type=_at_least(1), default=1, metavar="N")
    _flag(data, "image_size", "own images: resize to squares of this side", type=_at_least(1), metavar="N")
    _flag(data, "grayscale", "own images: read them with one channel", default=False)
    _flag(data, "check_data", "read all of the training and test split once, report, draw sheets", default=False)
    _flag(data, "validate", "hold out a part of the training set and evaluate on it", default=False)
    _flag(data, "download", "fetch MNIST into --data_dir first, where it is missing", default=False)

    train = parser.add_argument_group("train")
    _flag(train, "train", "train; false: evaluate", default=True)
    _flag(train, "max_steps", "train to this step in all", type=_at_least(1), default=1000, metavar="N")
    _flag(train, "batch_size", "images a step", type=_at_least(1), default=128, metavar="N")
    _flag(train, "save_step", "steps between checkpoints", type=_at_least(1), default=1500, metavar="N")
    _flag(train, "max_to_keep", "checkpoints that are kept", type=_at_least(1), default=1000, metavar="N")
    _flag(train, "summary_step", "steps between TensorBoard scalars", type=_at_least(1), default=50, metavar="N")

    hardware = parser.add_argument_group("hardware")
    _flag(hardware, "gpus", "which GPUs this process sees: cpu, or numbers (default: all)", metavar="cpu|0,1")
    _flag(hardware, "gpu_memory", "cap of a GPU's memory (default: grows by need)", type=_at_least(1), metavar="MiB")
    _flag(hardware, "num_gpus", "GPUs that share a batch in training", type=_at_least(1), default=1, metavar="N")
    _flag(hardware, "precision", "of layers", choices=("float32", "bfloat16", "float16"), default="float32")
    _flag(hardware, "xla", "compile the training step with XLA", default=False)
    _flag(hardware, "steps_per_call", "training steps in one call", type=_at_least(1), default=1, metavar="N")

    _add_flags_of_trained_networks(parser)
    return parser


def _add_flags_of_trained_networks(parser: argparse.ArgumentParser) -> None:
    test = parser.add_argument_group("evaluate")
    _flag(test, "checkpoint", "a checkpoint, ours or of 2017; a template with {} for --num_trials", metavar="PREFIX")
    _flag(
        test,
        "num_trials",
        "members of an ensemble; training: runs, one a seed",
        type=_at_least(1),
        default=1,
        metavar="N",
    )
    _flag(test, "eval_size", "test examples to use (default: all)", type=_at_least(1), metavar="N")
    _flag(test, "eval_batch_size", "images at a time", type=_at_least(1), default=100, metavar="N")
    _flag(test, "eval_timeout", "hours to wait for a next checkpoint", type=float, default=6.0, metavar="HOURS")
    _flag(test, "predictions", "write logits, labels and predictions here; --predict: also .csv", metavar="FILE.npz")

    use = parser.add_argument_group("use a trained network, that of --checkpoint")
    _flag(
        use,
        "predict",
        "say what a picture, the pictures of a folder and those below it, or those of a glob pattern show; "
        "the exit code is 1 if some cannot be read",
        metavar="PICTURES",
    )
    _flag(
        use,
        "export",
        "write the network, from images to logits and capsules, to a file .keras, .onnx (pip install '.[onnx]') or "
        ".tflite ('.[litert]'), or else to a folder as a TensorFlow SavedModel",
        metavar="FILE|DIR",
    )
