"""The tour runs, and the notebook that is kept has its cells and what it prints."""

import json
import re
import runpy
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("tour.py")
KEPT = json.loads(SCRIPT.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]


def words(text: str) -> str:
    """A text without the numbers, which differ a little between processors."""
    return re.sub(r"[\s\d.,]+", " ", text)


def test_the_notebook_has_the_cells_of_the_script():
    _, *pieces = re.split(r"^# %%( \[markdown\])?\n", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = [re.sub(r"^# ?", "", text, flags=re.M) if mark else text.replace("# %matplotlib", "%matplotlib")
             for mark, text in zip(pieces[::2], pieces[1::2], strict=True)]  # fmt: skip
    assert ["".join(cell["source"]) for cell in KEPT] == [text.strip() for text in texts]


def test_the_tour_runs_and_prints_what_is_kept(monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [str(SCRIPT.parent), *sys.path])  # the tour adds to it
    monkeypatch.chdir(SCRIPT.parent)
    runpy.run_path(str(SCRIPT))
    outputs = [output for cell in KEPT if cell["cell_type"] == "code" for output in cell["outputs"]]
    printed = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
    assert words(capsys.readouterr().out) == words(printed)
    assert sum(output["output_type"] == "display_data" for output in outputs) >= 10
