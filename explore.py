"""Looks inside a trained network: the pictures of the paper, a page to try it on, and how robust it is.

    python explore.py --checkpoint=S/train/model.ckpt-300000 --data_dir=D                     # PNG files in S/pictures
    python explore.py --checkpoint=S/train/model.ckpt-300000 --data_dir=D --serve             # a page
    python explore.py --checkpoint=S/train/model.ckpt-300000 --data_dir=D --robustness --compare=B/train/model.ckpt-N

`--help` lists the flags. Exit codes: 0 done, 1 a clear error, 2 wrong flags, 130 interrupted by Ctrl-C.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from input_data import DATASETS, Options, open_split
from models import MODELS
from runner.progress import say


def make_parser() -> argparse.ArgumentParser:
    """The parser."""
    parser = argparse.ArgumentParser(
        description="Draws what is inside a trained network: reconstructions, what the dimensions of a capsule mean, "
        "two digits in two colours, routing, confusion and training curves, as far as they fit the network.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="PREFIX", help="the network: S/train/model.ckpt-STEP, config.json by it")
    add("--data_dir", metavar="DIR", help="its data set's files; none: the embedded sample of MNIST")
    add("--out", metavar="DIR", help="where pictures go (default: pictures/ beside train/)")
    add("--format", choices=("png", "svg", "pdf"), default="png", help="of the pictures (default: png)")
    add("--dpi", type=int, default=100, metavar="N", help="pixels to the inch of the pictures (default: 100)")
    add("--eval_size", type=int, metavar="N", help="test examples to use (default: all; 1000 with --robustness)")
    job = parser.add_mutually_exclusive_group()
    job.add_argument("--serve", action="store_true", help="a page to try the network on, at 127.0.0.1")
    add("--port", type=int, default=8000, metavar="N", help="of the page (default: 8000)")
    job.add_argument(
        "--robustness", action="store_true", help="accuracy under rotation, shift, scale, shear and noise instead"
    )
    add("--compare", metavar="PREFIX", help="with --robustness: another network on the same images, as a baseline")
    old = parser.add_argument_group("for a checkpoint without config.json, such as those of 2017")
    old.add_argument("--model", choices=MODELS, default="capsule", help="the network (default: capsule)")
    old.add_argument("--dataset", choices=DATASETS, default="mnist", help="what it was trained on (default: mnist)")
    old.add_argument("--num_targets", type=int, choices=(1, 2), default=1, help="digits in an image (default: 1)")
    old.add_argument("--hparams_override", metavar="PAIRS", help="changes of hparams: name=value,name=value")
    return parser


def main(arguments: list[str]) -> int:
    """Runs the job that the flags describe and returns the exit code."""
    parser = make_parser()
    flags = parser.parse_args(arguments)
    if flags.compare and not flags.robustness:
        parser.error("--compare goes with --robustness")
    if not 50 <= flags.dpi <= 1200:
        parser.error(f"--dpi is 50 to 1200, received {flags.dpi}")
    if flags.eval_size is not None and flags.eval_size < 1:
        parser.error(f"--eval_size is 1 or more, received {flags.eval_size}")
    try:
        explore(flags)
    except (ValueError, OSError) as error:
        print(f"explore.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return 0


def explore(flags) -> None:
    """Loads the network and its test split and does one of the three jobs."""
    missing = [name for name in ("matplotlib", "scipy") if importlib.util.find_spec(name) is None]
    if missing and not flags.serve:
        raise ValueError(f"Pictures need {' and '.join(missing)}, not installed here: pip install {' '.join(missing)}")
    from explorer.use import config_of_flags
    from models.hparams import HParams
    from runner.devices import choose_devices
    from runner.loader import load

    def otherwise() -> dict:
        return config_of_flags(flags, HParams().override(flags.hparams_override), Options(flags.num_targets))

    choose_devices(None, None)
    trained = load(flags.checkpoint, otherwise)
    split = open_test_split(trained, flags.data_dir)
    if flags.serve:
        from explorer.page.server import serve

        return serve(trained, split, flags.port)
    from explorer.findings import examine, run_folder

    out = Path(flags.out) if flags.out else run_folder(flags.checkpoint) / "pictures"
    if flags.robustness:
        from explorer.compare import check_comparable
        from explorer.robustness import report

        networks = [trained]
        if flags.compare:
            networks.append(load(flags.compare, otherwise))
            check_comparable(*networks)
        report(networks, split, flags.eval_size or 1000, out, say)
    else:
        from explorer.pictures import draw_all

        draw_all(examine(trained, split, flags.eval_size), flags.checkpoint, out, say, flags.format, flags.dpi)


def open_test_split(trained, data_dir: str | None):
    """The test split of a network's data set; ValueError where its images are not of the network's size."""
    rows, _, depth = trained.model.image_shape
    options = Options(num_targets=trained.num_targets, image_size=rows, grayscale=depth == 1)
    split = open_split(trained.dataset, "test", data_dir, options)
    if split.note:
        say(split.note)
    found, expected = ("x".join(map(str, shape)) for shape in (split.info.image_shape, trained.model.image_shape))
    if found != expected:
        raise ValueError(
            f"The network takes images of {expected}, those of {split.info.name} in {data_dir} are {found}. "
            "Give the --data_dir that it was trained on."
        )
    return split


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
