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


def test_the_tour_runs_and_shows_what_is_kept(kept, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path.copy())  # the tour adds to it
    codes = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    again = [cell for cell in run(read_cells(SCRIPT))["cells"] if cell["cell_type"] == "code"]
    assert [shown(cell) for cell in again] == [shown(cell) for cell in codes]
    assert all(cell["outputs"] for cell in codes)


def test_the_notebook_is_small():
    assert NOTEBOOK.stat().st_size < 600_000


def test_a_cell_keeps_what_it_prints_and_draws():
    draw = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nprint('two', x)"
    text, first, second = run([("markdown", "# Title"), ("code", "x = 2"), ("code", draw)])["cells"]
    assert text["source"] == ["# Title"] and first["outputs"] == [] and second["execution_count"] == 3
    assert shown(second) == ["two ", "picture"]


def test_an_error_of_a_cell_is_raised():
    with pytest.raises(ZeroDivisionError):
        run([("code", "1 / 0")])


def test_cells_start_at_their_marks(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("# %% [markdown]\n# # Title\n#\n# Text\n\n# %%\nx = 1  # %% no mark\n\n# %%\nx\n")
    assert read_cells(script) == [("markdown", "# Title\n\nText"), ("code", "x = 1  # %% no mark"), ("code", "x")]
