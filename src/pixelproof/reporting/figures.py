"""Figures of a result: as files, and as SVG in the colours of the page."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pixelproof.core.pixel_changes import parse_values
from pixelproof.params.project import Params
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.experiments import EXPERIMENTS, Experiment
from pixelproof.reporting.wording import share
from pixelproof.system import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEYS = ("value", "low", "high")
_INK = "#010203"  # the colour of text and axes, replaced by the page's own


def draw_error_rates(table: pd.DataFrame, params: Params, path: Path) -> None:
    """Draw the error rates of every experiment (the first after Figures 8, 9 and 10).

    Args:
        table: As `comparison.results` returns it.
        params: For the order of the models.
        path: Of the SVG; the same table gives the same bytes.
    """
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "pixelproof", "font.size": 9}):
        figure = error_rates_figure(table, params)
        with files.atomic(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def picture(table: pd.DataFrame, params: Params) -> str:
    """The same figure as a data URL, for pages that accept Markdown alone."""
    import base64
    import io

    content = io.BytesIO()
    error_rates_figure(table, params).savefig(content, format="png", dpi=70)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def error_rates_figure(table: pd.DataFrame, params: Params) -> "Figure":
    """A panel for each experiment; arguments as of `draw_error_rates`."""
    from matplotlib.figure import Figure

    table = table[table["protocol"] == "held_out"]
    panels = _panels(table)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(1 + 4 * columns, 0.4 + 3 * rows))
    figure.set_layout_engine("constrained", hspace=0.08)  # a title is not the label above it
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, experiment in zip(axes, panels, strict=False):
        draw = _draw_curves if EXPERIMENTS[experiment].figure == "curve" else _draw_dots
        rows = table[table["experiment"] == experiment]
        draw(axis, experiment, rows, params)
        for beside in _beside(rows, table):
            _draw_beside(axis, beside, params)
    for axis in axes[len(panels) :]:
        axis.axis("off")
    for axis, experiment in zip(axes[::columns], panels[::columns], strict=False):
        if EXPERIMENTS[experiment].figure == "curve":
            axis.set_ylabel("wrong, % (95 % interval)")
    axes[0].legend(frameon=False)
    return figure


def _panels(table: pd.DataFrame) -> list[str]:
    """The experiments of a table that have a panel: those with curves, then those with dots."""
    measured = set(table["experiment"])
    return [
        name
        for figure in ("curve", "dots")
        for name, entry in EXPERIMENTS.items()
        if entry.figure == figure and name in measured
    ]


def _beside(rows: pd.DataFrame, table: pd.DataFrame) -> list[pd.DataFrame]:
    """The searches that are drawn into a panel: for the worst of the very changes it shows."""
    panel = rows.iloc[0]
    alike = table[(table["values"] == panel["values"]) & (table["area"] == panel["area"])]
    names = [name for name, entry in EXPERIMENTS.items() if entry.beside == panel["experiment"]]
    parts = [alike[alike["experiment"] == name] for name in names]
    return [part for part in parts if len(part)]


def _draw_beside(axis: "Axes", rows: pd.DataFrame, params: Params) -> None:
    """Dashed curves over n, in the colours of the models; the axis says what they are."""
    for number, model in enumerate(params.models):
        line = rows[rows["model"] == model].sort_values("n")
        at, rate = line["n"].astype(float), 100 * line["error_rate"]
        axis.plot(at, rate, "--", marker="s", markersize=3, color=f"C{number % 10}")
    axis.set_xlabel(f"{axis.get_xlabel()}; dashed: the worst found")
    axis.set_yscale("symlog", linthresh=1)  # both are to be read, and one is fifty times the other
    axis.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])


def draw_intervals(axis: "Axes", entries: Mapping[str, Sequence[float]]) -> None:
    """Draw a dot with its interval for each name: value, low, high."""
    for at, (value, low, high) in enumerate(entries.values()):
        axis.plot([low, high], [at, at], color=f"C{at % 10}", linewidth=3)
        axis.plot(value, at, "o", color=f"C{at % 10}", markersize=9, clip_on=False)
    axis.set_yticks(range(len(entries)), list(entries))
    axis.invert_yaxis()
    axis.set_xlim(left=0)


def _draw_dots(axis: "Axes", experiment: str, rows: pd.DataFrame, params: Params) -> None:
    """Error rates by model, at the largest epsilon."""
    epsilon = rows["epsilon"].max()
    rates = rows[rows["epsilon"] == epsilon].set_index("model")
    bounds = 100 * rates[["error_rate", "error_low", "error_high"]].astype(float)
    draw_intervals(
        axis, {name: list(bounds.loc[name]) for name in params.models if name in bounds.index}
    )
    entry = EXPERIMENTS[experiment]
    counted = f", {rates['steps'].max()} {entry.counted}" if entry.counted else ""
    axis.set_xlabel(f"{entry.axis} (\u03b5 {epsilon}/255{counted})")
    axis.set_title(experiment)
    axis.grid(axis="x", alpha=0.3)


def _axis_of(
    entry: Experiment, rows: pd.DataFrame, side: int
) -> tuple["pd.Series[Any]", pd.DataFrame, str]:
    """What a panel goes over, the rows that it shows, and the words for its axis."""
    words = entry.axis
    if entry.largest is not None:
        rows = rows[rows[entry.largest] == rows[entry.largest].max()]
        largest = int(rows[entry.largest].iloc[0])
        words += f", in {largest} {entry.counted}"
        if entry.largest == "n":
            words = f"{entry.axis}, n = {largest} ({share(largest, side)})"
    at = rows[entry.over]
    if entry.over == "values":
        at = at.map(lambda values: parse_values(str(values))[1])
    return at, rows, words


def _draw_curves(axis: "Axes", experiment: str, rows: pd.DataFrame, params: Params) -> None:
    """Error rates over n, over offset or side at the largest n, or over epsilon."""
    entry, side = EXPERIMENTS[experiment], params.select.side
    at, rows, words = _axis_of(entry, rows, side)
    ticks = sorted(at.unique())
    labels = [str(one) for one in ticks]
    if entry.over == "n":
        axis.set_xscale("log", base=2)
        labels = [f"{n}\n{share(int(n), side)}" for n in ticks]
    for number, model in enumerate(params.models):
        line = rows[rows["model"] == model].assign(at=at.astype(float)).sort_values("at")
        color = f"C{number % 10}"
        rate = 100 * line["error_rate"]
        axis.plot(line["at"], rate, marker="o", markersize=3, label=model, color=color)
        low, high = 100 * line["error_low"], 100 * line["error_high"]
        axis.fill_between(line["at"], low, high, alpha=0.15, color=color)
    axis.set_xticks([float(one) for one in ticks], labels)
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.set_xlabel(words)
    axis.set_title(experiment)
    axis.grid(alpha=0.3)


def svg(figure: "Figure") -> str:
    """A figure as SVG text in the page's colours; the same figure gives the same text."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_style()):  # with the seed of the ids in the SVG
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")


def _style() -> Any:
    keys = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    plain = {"svg.hashsalt": "pixelproof", "svg.fonttype": "path", "font.size": 10}
    return {**dict.fromkeys(keys, _INK), **plain}


def forest(comparison: Comparison) -> "Figure":
    """Each model's error rate at the reference point, as a dot with its interval."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    models = comparison.summary["models"]
    with mpl.rc_context(_style()):
        figure = Figure(figsize=(5.5, 0.9 + 0.38 * len(models)), layout="constrained")
        axis = figure.subplots()
        rates = {model: entry["error_rate"] for model, entry in models.items()}
        draw_intervals(
            axis, {model: [100 * rate[key] for key in KEYS] for model, rate in rates.items()}
        )
        axis.set_xlabel("wrong, % of the common images (95 % interval)")
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def page_error_rates(comparison: Comparison) -> "Figure":
    """The figure of all error rates in the colours of the page."""
    import matplotlib as mpl

    with mpl.rc_context(_style()):
        return error_rates_figure(comparison.table, comparison.params)


def distances(comparison: Comparison) -> str:
    """The distances to the boundary as SVG text; empty where they were not measured."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    table = comparison.boundary.set_index("model")[["median", "low", "high"]]
    if table.empty or not np.isfinite(table.to_numpy(dtype=float)).all():
        return ""
    with mpl.rc_context(_style()):
        figure = Figure(figsize=(8, 0.9 + 0.38 * len(table)), layout="constrained")
        axis = figure.subplots()
        draw_intervals(axis, {str(model): list(row) for model, row in table.iterrows()})
        axis.set_xlabel("first-order distance to the decision boundary (median, 95 % interval)")
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return svg(figure)
