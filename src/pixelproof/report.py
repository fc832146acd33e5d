"""Figures, the table on the terminal, and what it means in one sentence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pixelproof import files
from pixelproof.core.changes import parse_values
from pixelproof.errors import DataError, IntegrityError
from pixelproof.params import Params

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Summary = Mapping[str, Any]


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
    """The same figure as an address that holds it whole, for pages that take Markdown alone."""
    import base64
    import io

    content = io.BytesIO()
    error_rates_figure(table, params).savefig(content, format="png", dpi=70)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def error_rates_figure(table: pd.DataFrame, params: Params) -> "Figure":
    """A panel an experiment; arguments as of `draw_error_rates`."""
    from matplotlib.figure import Figure

    table = table[table["protocol"] == "held_out"]
    panels = [one for one in (*_PANELS, *_DOTS) if (table["experiment"] == one).any()]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(1 + 4 * columns, 0.4 + 3 * rows))
    figure.set_layout_engine("constrained", hspace=0.08)  # a title is not the label above it
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, experiment in zip(axes, panels, strict=False):
        draw = _draw_panel if experiment in _PANELS else _draw_dots
        draw(axis, experiment, table[table["experiment"] == experiment], params)
    for axis in axes[len(panels) :]:
        axis.axis("off")
    for axis, experiment in zip(axes[::columns], panels[::columns], strict=False):
        if experiment in _PANELS:
            axis.set_ylabel("wrong, % (95 % interval)")
    axes[0].legend(frameon=False)
    return figure


_PANELS = {  # experiment -> what it goes over, in words
    "pixels": "changed pixels (full range)",
    "stuck": "changed pixels (stuck: 0 or 255)",
    "magnitude": "largest change of a value",
    "area": "side of the changed square in pixels",
    "adversarial_pixels": "changed pixels of FGSM examples",
    "whitebox_fgsm": "epsilon, of 255, in one step",
    "whitebox_iterated": "epsilon, of 255",
}
_DOTS = {  # a dot a model
    "transfer_fgsm": "wrong, %, on its original's FGSM examples",
    "gradient_free": "wrong, %",
}


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
    queries = f", {rates['steps'].max()} queries" if experiment == "gradient_free" else ""
    axis.set_xlabel(f"{_DOTS[experiment]} (\u03b5 {epsilon}/255{queries})")
    axis.set_title(experiment)
    axis.grid(axis="x", alpha=0.3)


def _axis_of(experiment: str, rows: pd.DataFrame) -> tuple["pd.Series[Any]", pd.DataFrame, str]:
    """What a panel goes over, the rows that it shows, and what it says of them."""
    words = _PANELS[experiment]
    if experiment in ("magnitude", "area"):
        rows = rows[rows["n"] == rows["n"].max()]
        words = f"{words}, n = {rows['n'].iloc[0]}"
        if experiment == "area":
            return rows["area"], rows, words
        return rows["values"].map(lambda values: parse_values(str(values))[1]), rows, words
    if experiment == "whitebox_iterated":
        rows = rows[rows["steps"] == rows["steps"].max()]
        words = f"{words}, in {rows['steps'].iloc[0]} steps"
    return rows["epsilon" if experiment.startswith("whitebox") else "n"], rows, words


def _draw_panel(axis: "Axes", experiment: str, rows: pd.DataFrame, params: Params) -> None:
    """Error rates over n, over offset or side at the largest n, or over epsilon."""
    at, rows, words = _axis_of(experiment, rows)
    if experiment in ("pixels", "stuck", "adversarial_pixels"):
        axis.set_xscale("log", base=2)
    for number, model in enumerate(params.models):
        line = rows[rows["model"] == model].assign(at=at.astype(float)).sort_values("at")
        color = f"C{number % 10}"
        rate = 100 * line["error_rate"]
        axis.plot(line["at"], rate, marker="o", markersize=3, label=model, color=color)
        low, high = 100 * line["error_low"], 100 * line["error_high"]
        axis.fill_between(line["at"], low, high, alpha=0.15, color=color)
    ticks = sorted(at.unique())
    axis.set_xticks([float(one) for one in ticks], [str(one) for one in ticks])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.set_xlabel(words)
    axis.set_title(experiment)
    axis.grid(alpha=0.3)


def _percent(entry: Mapping[str, float]) -> str:
    return f"{100 * entry['value']:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"


def _points(entry: Mapping[str, float] | None) -> str:
    if entry is None:
        return "-"
    bounds = f"[{100 * entry['low']:+.1f}, {100 * entry['high']:+.1f}]"
    return f"{100 * entry['difference']:+.1f} {bounds}"


def _adversarial(table: pd.DataFrame, model: str, experiment: str) -> str:
    rows = table[(table["model"] == model) & (table["experiment"] == experiment)]
    return " / ".join(f"{100 * rate:.0f}" for rate in rows["error_rate"]) or "-"


def _epsilons(table: pd.DataFrame, experiment: str) -> str:
    found = table.loc[table["experiment"] == experiment, "epsilon"].unique()
    return "/".join(str(one) for one in found) or "-"


def align(rows: list[list[str]]) -> str:
    """A table as text, its columns aligned; the first row is the head."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _result_rows(summary: Summary, table: pd.DataFrame) -> list[list[str]]:
    """The head of the result table, and a row a model."""
    control = summary["control"]
    head = ["model", "accuracy %", "wrong %", "Pi", *([f"minus {control}"] if control else [])]
    rows = [[*head, "transfer %", "white-box %"]]
    for model, entry in summary["models"].items():
        pi = entry["pi"]
        rows.append(
            [
                model,
                _percent(entry["clean_accuracy"]),
                f"{100 * entry['error_rate']['value']:.1f}",
                f"{pi['value']:.2f} [{pi['low']:.2f}, {pi['high']:.2f}]",
                *([_points(entry.get("versus_control"))] if control else []),
                _adversarial(table, model, "transfer_fgsm"),
                _adversarial(table, model, "whitebox_fgsm"),
            ]
        )
    return rows


def _legend(summary: Summary, table: pd.DataFrame) -> list[str]:
    """What the columns of the result table mean."""
    point, control = summary["reference"], summary["control"]
    return [
        f"accuracy: on {summary['held_out_images']} held-out images. wrong, Pi"
        f"{f', minus {control} (points)' if control else ''}: with {point['n']} "
        f"{point['values']} pixels",
        f"changed in the {summary['common_images']} that all models get right. Wrong on FGSM "
        "examples: transfer, of those that fool its",
        f"original (epsilon {_epsilons(table, 'transfer_fgsm')}/255); white-box, made from the "
        f"model itself (epsilon {_epsilons(table, 'whitebox_fgsm')}/255).",
    ]


def result_table(summary: Summary, table: pd.DataFrame) -> str:
    """The result as text: a line a model with 95 % intervals, and what the columns mean.

    Args:
        summary: What `metrics/summary.json` holds.
        table: What `metrics/results.csv` holds.
    """
    return "\n".join([align(_result_rows(summary, table)), "", *_legend(summary, table)])


def result_markdown(summary: Summary, table: pd.DataFrame) -> str:
    """The result as Markdown; arguments as of `result_table`."""
    head, *rows = _result_rows(summary, table)
    lines = [head, ["---"] * len(head), *rows]
    grid = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{grid}\n\n{' '.join(_legend(summary, table))}"


def read_results(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """The summary and the table that `compare` wrote into a folder, as the tables take them.

    Raises:
        DataError: One of them is missing.
        IntegrityError: One of them is not what `compare` writes.
    """
    path = folder / "results.csv"
    summary = files.read_json(folder / "summary.json")
    try:
        table = pd.read_csv(path).astype(dict.fromkeys(["epsilon", "steps", "n", "area"], "Int64"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; run `dvc repro` to make it") from None
    except (ValueError, KeyError, TypeError) as error:  # what pandas raises of other tables
        raise IntegrityError(f"{path}: expected what the stage compare writes: {error}") from None
    return summary, table


def _finding(model: str, entry: Mapping[str, Any], control: Mapping[str, Any]) -> str:
    against = entry["versus_control"]
    if against["high"] < 0:
        rate = control["error_rate"]["value"]
        share = entry["error_rate"]["value"] / rate
        words = f"{model} errs {share:.2f} times as often"
    elif against["low"] > 0:
        words = f"{model} errs more often"
    else:
        words = f"{model} cannot be told apart"
    return f"{words} ({_points(against)} points, p = {against['p_value']:.2g})"


def verdict(summary: Summary) -> str:
    """What the result means, in one sentence: each hardened model against the control."""
    point, control = summary["reference"], summary["control"]
    where = f"At {point['n']} {point['values']} pixels, on {summary['common_images']} images that"
    where += " all models get right unchanged"
    arms = {model: entry for model, entry in summary["models"].items() if "versus_control" in entry}
    hardened = {model: entry for model, entry in arms.items() if "versus_baseline" in entry}
    if not hardened:
        rates = [f"{m} errs on {_percent(e['error_rate'])} %" for m, e in summary["models"].items()]
        return f"{where}: {'; '.join(rates)}."
    found = [
        _finding(model, entry, summary["models"][control]) for model, entry in hardened.items()
    ]
    return (
        f"{where}, against the control {control} (the same fine-tuning on unchanged images): "
        f"{'; '.join(found)}."
    )
