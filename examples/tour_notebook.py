"""Runs the cells of tour.py and keeps them, with what they print and draw, as the Jupyter notebook tour.ipynb.

    python examples/tour_notebook.py

The line `# %%` starts a cell of code, and `# %% [markdown]` a cell of text, whose lines are comments: the percent
format, which Jupytext, VS Code and Spyder read as well. The outputs of a cell are what it prints and the Matplotlib
figures that it opens.
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


def read_cells(script: Path) -> list[tuple[str, str]]:
    """The cells of a script: ("code" or "markdown", source)."""
    _, *pieces = re.split(r"^# %%( \[markdown\])?\n", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sources = zip(pieces[::2], map(str.strip, pieces[1::2]), strict=True)
    return [("markdown", re.sub(r"^# ?", "", text, flags=re.M)) if mark else ("code", text) for mark, text in sources]


def run(cells: list[tuple[str, str]]) -> dict[str, Any]:
    """Runs the code of the cells in their order, in the script's folder, and returns the notebook in format 4.5.

    The first error of a cell is raised: a notebook is kept only when all of it runs.
    """
    matplotlib.use("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    notebook = []
    with chdir(SCRIPT.parent), matplotlib.rc_context():  # the tour sets a style
        for number, (kind, source) in enumerate(cells, start=1):
            cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source.splitlines(True)}
            if kind == "code":
                with redirect_stdout(io.StringIO()) as printed:
                    exec(compile(source, f"cell {number}", "exec"), names)
                cell |= {"execution_count": number, "outputs": _outputs(printed.getvalue())}
            notebook.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": notebook, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _outputs(text: str) -> list[dict[str, Any]]:
    """The outputs of a cell: the text, then each figure that is open as a PNG."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": text.splitlines(True)}] if text else []
    for number in plt.get_fignums():
        picture = io.BytesIO()
        plt.figure(number).savefig(picture, format="png", bbox_inches="tight", metadata={"Software": None})
        data = {"image/png": base64.b64encode(picture.getvalue()).decode("ascii")}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    plt.close("all")
    return outputs


if __name__ == "__main__":
    content = json.dumps(run(read_cells(SCRIPT)), indent=1, ensure_ascii=False) + "\n"
    with atomic_write(NOTEBOOK) as (draft,):
        draft.write_text(content, encoding="utf-8")
