"""Runs the cells of tour.py and keeps them, with what they print and draw, as the Jupyter notebook tour.ipynb.

    python examples/tour_notebook.py

The line `# %%` starts a cell of code, and `# %% [markdown]` a cell of text, whose lines are comments: the percent
format, which Jupytext, VS Code and Spyder read as well. The cells share their variables. As in Jupyter, they run in the
folder of the script, and the outputs of a cell are what it prints and the Matplotlib figures that it opens.
"""

import base64
import io
import json
import re
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib
import matplotlib.pyplot as plt

from input_data.formats.files import atomic_write

SCRIPT = Path(__file__).with_name("tour.py")
NOTEBOOK = SCRIPT.with_suffix(".ipynb")
_START = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)


def read_cells(script: Path) -> list[tuple[str, str]]:
    """Returns the cells of a script: ("code" or "markdown", source)."""
    before, *pieces = _START.split(script.read_text(encoding="utf-8"))
    if before.strip():
        raise ValueError(f"{script}: the first line must start a cell, '# %%' or '# %% [markdown]'.")
    cells = []
    for mark, source in zip(pieces[::2], pieces[1::2], strict=True):
        if mark:
            cells.append(("markdown", re.sub(r"^# ?", "", source.strip(), flags=re.MULTILINE)))
        else:
            cells.append(("code", source.strip()))
    return cells


def run(cells: list[tuple[str, str]]) -> dict[str, Any]:
    """Runs the code of the cells in their order and returns the notebook, in Jupyter's format 4.5.

    The first error of a cell is raised: a notebook is kept only when all of it runs.
    """
    matplotlib.use("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    notebook_cells = []
    with chdir(SCRIPT.parent), matplotlib.rc_context():  # Jupyter's folder; the tour sets a style
        for number, (kind, source) in enumerate(cells, start=1):
            cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": _lines(source)}
            if kind == "code":
                cell |= {"execution_count": number, "outputs": _execute(source, f"cell {number}", names)}
            notebook_cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": notebook_cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _execute(source: str, name: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs one cell and returns its outputs: the text, then each figure as a PNG."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(source, name, "exec"), names)
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(text)})
    for number in plt.get_fignums():
        picture = io.BytesIO()
        plt.figure(number).savefig(picture, format="png", bbox_inches="tight", metadata={"Software": None})
        data = {"image/png": base64.b64encode(picture.getvalue()).decode("ascii")}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    plt.close("all")
    return outputs


def _lines(text: str) -> list[str]:
    """Text as notebooks keep it: a list of lines with their ends."""
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    content = json.dumps(run(read_cells(SCRIPT)), indent=1, ensure_ascii=False) + "\n"
    with atomic_write(NOTEBOOK) as (draft,):
        draft.write_text(content, encoding="utf-8")
