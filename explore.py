"""Looks inside a trained network: pictures, a page to try it on, its robustness, and what its routing does.

    python explore.py                            # pictures of a pretrained network, on the embedded digits
    python explore.py --serve                    # a page to try it on
    python explore.py --checkpoint=S/train/model.ckpt-300000 --data_dir=D                     # PNG files in S/pictures
    python explore.py --checkpoint=S/train/model.ckpt-300000 --data_dir=D --serve             # a page
    python explore.py --checkpoint=S/train/model.ckpt-300000 --data_dir=D --export_page=F.html  # that page as a file
    python explore.py --checkpoint=S/train/model.ckpt-300000 --data_dir=D --robustness --compare=B/train/model.ckpt-N
    python explore.py --checkpoint=S/train/model.ckpt-300000 --data_dir=D --diagnose          # see docs/diagnosis.md

`--help` lists the flags. Exit codes: 0 done, 1 a clear error, 2 wrong flags, 130 interrupted by Ctrl-C.
"""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from input_data.flags import exit_code, flag, parse
from input_data.progress import say
from runner.run_config import DEFAULT_NETWORK, NetworkFlags
from runner.startup import use_tensorflow

PROGRAM = "explore.py"


@dataclass(frozen=True, kw_only=True)
class ExploreConfig(NetworkFlags):
    """The flags of `explore.py`.

    Raises:
        ValueError: flags that contradict one another.
    """

    checkpoint: str | None = flag(
        None,
        "the network: a run's folder, S/best, S/train/model.ckpt-STEP, or pretrained:NAME for a folder in pretrained/ "
        f"(default: {DEFAULT_NETWORK})",
        path=True,
    )
    data_dir: str | None = flag(
        None, "files of its data set (default: the embedded sample of MNIST)", path=True, metavar="DIR"
    )
    out: str | None = flag(
        None,
        "folder for pictures (default: pictures/ beside train/; for pretrained:NAME runs/pretrained/NAME/pictures)",
        path=True,
        metavar="DIR",
    )
    format: str = flag("png", "file format of the pictures", choices=("png", "svg", "pdf"))
    dpi: int = flag(100, "pixels per inch of the pictures", low=50, high=1200)
    eval_size: int | None = flag(
        None, "number of test examples to use (default: all; 1000 with --robustness)", low=1, high=10**9
    )
    serve: bool = flag(False, "write a page to try the network on into its run's folder, and serve it at 127.0.0.1")
    port: int = flag(8000, "port of the page; 0 picks a free one", low=0, high=65535)
    export_page: str | None = flag(
        None,
        "write that page to a file, or a folder of files, that holds the network and needs no server",
        path=True,
        metavar="DIR|FILE.html",
    )
    robustness: bool = flag(False, "measure accuracy under rotation, shift, scale, shear and noise")
    diagnose: bool = flag(False, "measure whether the routing does anything, and which capsules do")
    compare: str | None = flag(
        None,
        "with --robustness, --diagnose, --serve or --export_page: another network for the same images, as a baseline",
        path=True,
    )

    def __post_init__(self):
        jobs = [name for name in ("robustness", "diagnose", "serve", "export_page") if getattr(self, name)]
        if self.compare and not jobs:
            raise ValueError("--compare needs --robustness, --diagnose, --serve or --export_page")
        if len(jobs) > 1:
            raise ValueError(f"--{jobs[0]} is not allowed with --{jobs[1]}. Give one of them.")


def main(arguments: list[str]) -> int:
    """Runs the job that the flags describe and returns the exit code."""
    config = parse(
        ExploreConfig,
        arguments,
        PROGRAM,
        "Draws what is inside a trained network: reconstructions, the dimensions of a capsule, two digits in two "
        "colours, routing, confusion and training curves, as far as they apply to the network.",
    )
    return exit_code(PROGRAM, lambda: explore(config))


def explore(config: ExploreConfig) -> int:
    """Loads the network and its test split, and runs the job that the flags ask for."""
    missing = [name for name in ("matplotlib", "scipy") if importlib.util.find_spec(name) is None]
    if missing and not (config.serve or config.export_page):
        raise ValueError(f"Pictures need {' and '.join(missing)}: pip install {' '.join(missing)}")
    use_tensorflow()
    from runner.loader import Data, describe, load, load_described
    from runner.naming import resolve
    from runner.run import show_devices

    show_devices(None, None)
    data = Data(config.data_dir)
    if not config.checkpoint:
        say(f"No --checkpoint given: using --checkpoint={DEFAULT_NETWORK}")
    checkpoint = resolve(config.checkpoint or DEFAULT_NETWORK)
    saved = describe(checkpoint, config, data)
    split = data.for_network(saved)
    trained = load_described(checkpoint, saved)
    compared = load(config.compare, config, data) if config.compare else None
    if config.serve or config.export_page:
        from explorer.findings import run_folder
        from explorer.page.exported import export_page
        from explorer.page.serve import serve

        page = Path(config.export_page) if config.export_page else run_folder(checkpoint) / "page.html"
        page = export_page(trained, split, page, compared)
        size = page.stat().st_size / 2**20
        say(f"{page} ({size:.1f} MB) shows the network in any browser, without a server: open it with a double click.")
        if config.serve:
            serve(page, config.port)
        return 0
    from explorer.findings import examine, run_folder

    out = Path(config.out) if config.out else run_folder(checkpoint) / "pictures"
    if config.robustness or config.diagnose:
        from explorer import diagnosis_report, robustness
        from explorer.compare import check_comparable

        networks = [trained]
        if compared:
            check_comparable(trained, compared)
            networks.append(compared)
        if config.diagnose:
            diagnosis_report.report(networks, split, config.eval_size, out, say, config.format, config.dpi)
        else:
            robustness.report(networks, split, config.eval_size or 1000, out, say)
    else:
        from explorer.pictures import draw_all

        draw_all(examine(trained, split, config.eval_size), checkpoint, out, say, config.format, config.dpi)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
