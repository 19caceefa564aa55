"""Uses a trained network and looks inside: pictures, a page to try it on, robustness, what its routing does, exports.

    python explore.py                                              # pictures of a pretrained network
    python explore.py --serve                                      # a page to try it on
    python explore.py --checkpoint=S --data_dir=D                  # pictures of a run's network in S/pictures
    python explore.py --checkpoint=S --data_dir=D --robustness --compare=B
    python explore.py --checkpoint=S --data_dir=D --diagnose       # see docs/diagnosis.md

`--help` lists the flags. Exit codes: 0 done, 1 a clear error, 2 wrong flags, 130 interrupted by Ctrl-C.
"""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from input_data.progress import say
from runner.config import DEFAULT_NETWORK, EXPORT, EXPORT_ENDINGS, NetworkFlags
from runner.flags import UserError, exit_code, flag, parse
from runner.startup import use_tensorflow

PROGRAM = "explore.py"


@dataclass(frozen=True, kw_only=True)
class ExploreConfig(NetworkFlags):
    """The flags of `explore.py`."""

    checkpoint: str | None = flag(
        None, "a run's folder, S/best, S/train/model.ckpt-STEP, or pretrained:NAME for a folder in pretrained/ "
        f"(default: {DEFAULT_NETWORK})", path=True,
    )  # fmt: skip
    data_dir: str | None = flag(None, "files of its data set (default: the embedded sample of MNIST)", path=True)
    out: str | None = flag(
        None, "folder for pictures (default: pictures/ beside train/; runs/pretrained/NAME/pictures)", path=True
    )
    format: str = flag("png", "file format of the pictures", choices=("png", "svg", "pdf"))
    dpi: int = flag(100, "pixels per inch of the pictures", low=50, high=1200)
    eval_size: int | None = flag(None, "number of test images to use (default: all; 1000 with --robustness)")
    serve: bool = flag(False, "serve a page to try the network on, at 127.0.0.1")
    port: int = flag(8000, "port of the page; 0 picks a free one", low=0, high=65535)
    export_page: str | None = flag(None, "write that page, which needs no server, to a file or a folder", path=True)
    robustness: bool = flag(False, "measure accuracy under rotation, shift, scale, shear and noise")
    diagnose: bool = flag(False, "measure whether the routing does anything, and which capsules do")
    predict: str | None = flag(None, "classify this picture, or the pictures of this folder or pattern", path=True)
    export: str | None = flag(None, EXPORT, path=True, endings=EXPORT_ENDINGS)
    compare: str | None = flag(None, "another network for the same images, for --robustness and --diagnose", path=True)

    @property
    def job(self) -> str:
        """The name of the job that the flags ask for, as in the table of jobs."""
        return next((name for name in JOBS if getattr(self, name, None)), "draw")


# A job gets the flags, the network and perhaps one to compare it with, their test split, and the run's folder.


def _draw(config: ExploreConfig, networks: list, split: Any, run: Path) -> None:
    from explorer.findings import examine
    from explorer.pictures import draw_all

    found = examine(*networks, split, config.eval_size)
    draw_all(found, Path(config.out or run / "pictures"), config.format, config.dpi)


def _measure(config: ExploreConfig, networks: list, split: Any, run: Path) -> None:
    from explorer.report import report

    kind, out = "diagnosis" if config.diagnose else "robustness", Path(config.out or run / "pictures")
    report(kind, networks, split, config.eval_size, out, config.format, config.dpi)


def _predict(config: ExploreConfig, networks: list, split: Any, run: Path) -> None:
    from explorer.predict import predict

    predict(config.predict, networks[0], 100)


def _export(config: ExploreConfig, networks: list, split: Any, run: Path) -> None:
    from explorer.export import export

    say(export(networks[0], Path(config.export)))


def _page(config: ExploreConfig, networks: list, split: Any, run: Path) -> None:
    from explorer.page.exported import export_page
    from explorer.page.serve import serve

    page = export_page(networks[0], split, Path(config.export_page or run / "page.html"))
    size = page.stat().st_size / 2**20
    say(f"{page} ({size:.1f} MB) shows the network in any browser, without a server: open it with a double click.")
    if config.serve:
        serve(page, config.port)


_COMMON = {field.name for field in fields(NetworkFlags)} | {"checkpoint", "data_dir"}
_PICTURES = {"out", "format", "dpi", "eval_size"}
JOBS: dict[str, tuple[Callable, set[str]]] = {
    "draw": (_draw, _COMMON | _PICTURES),
    "robustness": (_measure, _COMMON | _PICTURES | {"robustness", "compare"}),
    "diagnose": (_measure, _COMMON | _PICTURES | {"diagnose", "compare"}),
    "serve": (_page, _COMMON | {"serve", "port"}),
    "export_page": (_page, _COMMON | {"export_page"}),
    "predict": (_predict, _COMMON | {"predict"}),
    "export": (_export, _COMMON | {"export"}),
}


def main(arguments: list[str]) -> int:
    """Runs the job that the flags describe and returns the exit code."""
    text = "Uses a trained network. Without a flag that names a job, it draws pictures of what is inside."
    config = parse(ExploreConfig, arguments, PROGRAM, text, jobs=JOBS)
    return exit_code(PROGRAM, lambda: explore(config))


def explore(config: ExploreConfig) -> int:
    """Loads the network and its test split, and runs the job that the flags ask for."""
    if config.job in ("draw", "robustness", "diagnose") and importlib.util.find_spec("matplotlib") is None:
        raise UserError("Pictures need matplotlib: pip install matplotlib")
    use_tensorflow()
    from runner.devices import show_devices
    from runner.loader import Data, load, run_folder

    show_devices()
    data = Data(config.data_dir)
    if not config.checkpoint:
        say(f"No --checkpoint given: using --checkpoint={DEFAULT_NETWORK}")
    networks = [load(config.checkpoint or DEFAULT_NETWORK, config, data)]
    split = None if config.job in ("predict", "export") else data.for_network(networks[0].config)
    if config.compare:
        networks.append(load(config.compare, data=data))  # the flags describe the other network
    JOBS[config.job][0](config, networks, split, run_folder(networks[0].checkpoint))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
