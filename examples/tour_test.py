"""The tour runs, and the notebook that is kept has its cells and its outputs."""

import json
import re
import sys

import pytest
from tour_notebook import NOTEBOOK, SCRIPT, read_cells, run


@pytest.fixture(scope="module")
def kept():
    """The notebook that is kept."""
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def shown(cell) -> list[str]:
    """What a code cell shows, without the numbers, which differ a little between processors; "picture" for a PNG."""
    texts = ("".join(output["text"]) if "text" in output else "picture" for output in cell["outputs"])
    return [re.sub(r"[\s\d.,]+", " ", text) for text in texts]


def test_the_notebook_has_the_cells_of_the_script(kept):
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in kept["cells"]] == read_cells(SCRIPT)
    assert NOTEBOOK.stat().st_size < 600_000


def test_the_tour_runs_and_shows_what_is_kept(kept, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path.copy())  # the tour adds to it
    codes = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    again = [cell for cell in run(read_cells(SCRIPT))["cells"] if cell["cell_type"] == "code"]
    assert [shown(cell) for cell in again] == [shown(cell) for cell in codes]
    assert all(cell["outputs"] for cell in codes)
