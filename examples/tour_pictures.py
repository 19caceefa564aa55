"""The pictures of the tour: each function draws one Matplotlib figure, which a notebook shows below its cell."""

import matplotlib.pyplot as plt
import numpy as np

from explorer.sheets import strip

# For the whole notebook: Jupyter shows no figures once Matplotlib's rc_context has ended.
plt.rcParams.update({"figure.dpi": 90, "font.size": 8, "axes.titlesize": 9, "grid.alpha": 0.3})


def images(rows: dict[str, np.ndarray], headings: list[str], size: float = 0.75) -> None:
    """Draws rows of images, each `size` inches wide, with headings above the columns; see `explorer.sheets.strip`."""
    _, axes = plt.subplots(figsize=(size * len(headings), size * len(rows)))
    strip(axes, rows, headings)


def squashed(squash) -> None:
    """Draws what `squash` makes of a vector's length."""
    _, axes = plt.subplots(figsize=(3.7, 2))
    norms = np.linspace(0.01, 6, 200)
    axes.plot(norms, np.linalg.norm(squash(norms[:, None]), axis=1))
    axes.set(xlabel="length of s", ylabel="length of v", title="squash")
    axes.grid()


def routing(vectors: np.ndarray, steps: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Draws votes [in, out, 2] and what becomes of them, in a row for each of the capsules A, B, … above.

    `steps` are the coefficients [in, out] and the outputs [out, 2] of each iteration, which has a column.
    """
    rows, columns = vectors.shape[1], len(steps)
    options = {"sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"}
    figure, grid = plt.subplots(rows, columns, figsize=(1 + 2.2 * max(columns, 2), 0.8 + 2 * rows), **options)
    for number, (coefficients, outputs) in enumerate(steps):
        for j, axes in enumerate(grid[:, number]):
            _arrows(axes, vectors[:, j], 4 * coefficients[:, j], "tab:grey", "votes, as thick as their share")
            _arrows(axes, outputs[[j]], [3], "tab:blue", "output")
            length = np.linalg.norm(outputs[j])
            axes.set_title(f"iteration {number + 1}, capsule {chr(ord('A') + j)}: length {length:.2f}")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)


def shares(image: np.ndarray, maps: dict[str, np.ndarray]) -> None:
    """Draws an image and, by their titles, maps of coupling coefficients [rows, columns] around a share of 0.1."""
    figure, row = plt.subplots(1, 1 + len(maps), figsize=(2 + 1.8 * len(maps), 1.8))
    row[0].imshow(image, cmap="gray")
    for axes, (title, values) in zip(row[1:], maps.items(), strict=True):
        picture = axes.imshow(values, cmap="RdBu_r", vmin=0, vmax=0.2)
        axes.set_title(title)
    for axes in row:
        axes.set(xticks=[], yticks=[])
    figure.colorbar(picture, ax=row, label="share")


def _arrows(axes, vectors, widths, colour: str, label: str) -> None:
    """Draws lines from the origin with a dot at their end, and one entry in the legend."""
    for index, ((x, y), width) in enumerate(zip(vectors, widths, strict=True)):
        name = None if index else label
        axes.plot([0, x], [0, y], "o-", markevery=[1], markersize=4, linewidth=width, color=colour, label=name)
    axes.set_aspect("equal")
    axes.grid(visible=True)
