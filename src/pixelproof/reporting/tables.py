"""The tables of the page: every experiment, in the layout of the paper's tables."""

import dataclasses
from typing import Any

import pandas as pd

from pixelproof.core.statistics.ranks import rank_intervals
from pixelproof.reporting import experiments
from pixelproof.reporting.attacks import named_table
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.gradient_masking import Check
from pixelproof.reporting.robust_accuracy import robust_table
from pixelproof.reporting.wording import (
    estimate,
    interval,
    margin,
    p_value,
    percent,
    percent_interval,
    points,
    share,
)

TRAINING = (
    "Protocol paper: other changes of the very images that were trained on, as in the paper's "
    "Table 10. It says nothing about new images."
)
WARNINGS = {"masking": "MASKED?", "convergence": "not converged"}  # of checks that fail
Table = dict[str, Any]


def _rate(row: pd.Series) -> str:
    rate = percent_interval(row["error_rate"], row["error_low"], row["error_high"], digits=2)
    total = int(row["images"]) * int(row["draws"])
    return f"{rate} · {int(row['wrong'])} of {total}"


def _grid(table: pd.DataFrame, layout: experiments.Table, side: int) -> Table:
    """A table in the paper's layout: a row a model (and label), a column a setting."""
    columns = sorted(set(table[layout.columns]))
    rows = []
    for key, group in table.groupby(["model", "row"], sort=False):
        cells = {row[layout.columns]: _rate(row) for _, row in group.iterrows()}
        first = [str(name) for name in key if name]
        rows.append(first + [cells.get(column, "-") for column in columns])
    names = ["model"] + ([""] if rows and len(rows[0]) > len(columns) + 1 else [])
    heads = [
        f"n = {column} ({share(column, side)})"
        if layout.columns == "n"
        else f"epsilon {column}/255"
        for column in columns
    ]
    return {"title": layout.title, "note": layout.note, "head": names + heads, "rows": rows}


def tables(comparison: Comparison, checks: list[Check]) -> list[Table]:
    """All experiments, in the layout of the paper's tables."""
    shown = [_beyond_control(comparison), _cost(comparison), _ranking(comparison)]
    shown += _measured(comparison)
    shown += [*named_table(comparison.attacks), *robust_table(comparison.summary)]
    if len(comparison.boundary):
        shown.append(_boundary(comparison))
    return [*shown, _masking(checks)]


def _measured(comparison: Comparison) -> list[Table]:
    """The experiments' own tables, held-out images first, then the protocol `paper`."""
    side, table = comparison.params.select.side, comparison.table
    layouts = [entry.table for entry in experiments.EXPERIMENTS.values()]
    tables = []
    for layout in dict.fromkeys(layout for layout in layouts if layout is not None):
        rows = _rows_of(table[table["protocol"] == "held_out"], layout, side)
        if len(rows):
            tables.append(_grid(rows, layout, side))
    for name, entry in experiments.EXPERIMENTS.items():
        paper = table[(table["protocol"] == "paper") & (table["experiment"] == name)]
        if len(paper) and entry.table is not None:
            title = f"Training images, {name} (Table 10 as printed)"
            layout = dataclasses.replace(entry.table, title=title, note=TRAINING)
            tables.append(_grid(_labelled(paper, side), layout, side))
    return tables


def _rows_of(table: pd.DataFrame, layout: experiments.Table, side: int) -> pd.DataFrame:
    """The rows of the experiments that share a table: by model, in the order of the entries."""
    names = [name for name, entry in experiments.EXPERIMENTS.items() if entry.table == layout]
    parts = [
        table[(table["model"] == model) & (table["experiment"] == name)]
        for model in dict.fromkeys(table["model"])
        for name in names
    ]
    return _labelled(pd.concat(parts), side) if parts else table


def _labelled(rows: pd.DataFrame, side: int) -> pd.DataFrame:
    return rows.assign(row=[_label(row, side) for row in rows.to_dict("records")])


def _label(setting: experiments.Setting, side: int) -> str:
    return experiments.EXPERIMENTS[setting["experiment"]].label(setting, side)


def _beyond_control(comparison: Comparison) -> Table:
    rows = []
    for model, entry in comparison.summary["models"].items():
        for name, key in (
            ("its original", "versus_baseline"),
            (comparison.summary["control"], "versus_control"),
        ):
            if key in entry:
                gap = entry[key]
                adjusted = p_value(gap["p_value_holm"]) if "p_value_holm" in gap else "-"
                total = f"{gap['images']} × {gap['draws']}"
                rows.append(
                    [
                        model,
                        name,
                        points(gap, 2),
                        p_value(gap["p_value"]),
                        adjusted,
                        total,
                    ]
                )
    return {
        "title": "What hardening did beyond the control",
        "note": "Difference of the error rates at the reference point in points, paired by image; "
        "p by sign flips, adjusted over the arms (Holm).",
        "head": ["model", "minus", "points", "p", "p, Holm", "images × draws"],
        "rows": rows,
    }


def _cost(comparison: Comparison) -> Table:
    """Clean accuracy and attacks on each hardened model itself, beside the gate's margins."""
    summary, rows = comparison.summary, []
    names = {"versus_baseline": "its original", "versus_control": summary["control"]}
    for model, entry in summary["models"].items():
        cost = entry.get("cost", {"accuracy": {}, "attacks": {}})
        for key, gap in cost["accuracy"].items():
            row = [model, "clean accuracy", names[key], points(gap), str(gap["images"])]
            rows.append(row)
        for attack in cost["attacks"].values():
            label = _label(attack, comparison.params.select.side)
            strength = f", epsilon {attack['epsilon']}/255" if "epsilon" in attack else ""
            what = f"fooled in {label}{strength}"
            rows.append([model, what, "its original", points(attack), str(attack["images"])])
    allowed = summary.get("margins", {"accuracy": 0, "attack": 0})
    return {
        "title": "What hardening costs",
        "note": "In points, paired by image, with one-sided bounds at 5 % as the gate has them. It "
        f"allows accuracy to fall by less than {margin(allowed['accuracy'])}, and attacks "
        f"on the model itself to fool it less than {margin(allowed['attack'])} more often.",
        "head": ["model", "what", "minus", "points", "images"],
        "rows": rows,
    }


def _ranking(comparison: Comparison) -> Table:
    compare, summary = comparison.params.compare, comparison.summary
    wrong = {model: comparison.at_reference(model) for model in summary["models"]}
    ranks = rank_intervals(
        wrong, resamples=compare.resamples, seed=compare.seed, groups=comparison.groups()
    )
    rows = []
    for model in sorted(ranks, key=lambda name: ranks[name].value):
        entry, rank = summary["models"][model], ranks[model]
        pi, clean = entry["pi"], entry["clean_accuracy"]
        rows.append(
            [
                model,
                estimate(pi),
                f"{rank.value:.0f} [{rank.low:.0f} to {rank.high:.0f}]",
                f"{int(wrong[model].sum())} of {wrong[model].size}",
                f"{int(wrong[model].any(axis=1).sum())} of {len(wrong[model])}",
                percent_interval(clean["value"], clean["low"], clean["high"]),
                " · ".join(
                    f"{label} {percent(rate['value'])}" for label, rate in entry["recall"].items()
                )
                if len(entry["recall"]) <= 6
                else f"balanced {percent(entry['balanced_accuracy']['value'])}",
            ]
        )
    return {
        "title": "Pixel-index Pi (Table 5)",
        "note": "At the reference point; comparable at the same n, values and area only. "
        "The rank's interval is a bootstrap.",
        "head": [
            "model",
            "Pi",
            "rank",
            "wrong",
            "images that ever flip",
            "clean accuracy",
            "recall",
        ],
        "rows": rows,
    }


def _masking(checks: list[Check]) -> Table:
    """Failed checks one by one; of those that hold, how many."""
    rows = []
    for model in dict.fromkeys(check.model for check in checks):
        own = [check for check in checks if check.model == model]
        failed = [check for check in own if not check.holds]
        rows += [
            [model, WARNINGS[check.about], f"fails: {check.words}", check.found] for check in failed
        ]
        if not failed:
            rows.append([model, "no sign", f"all {len(own)} checks hold", ""])
    return {
        "title": "Masked gradients",
        "note": "Attacks that follow the gradient prove nothing where it is hidden. The checks: "
        "more epsilon and more steps fool no fewer; a model's own examples beat borrowed ones; "
        "an attack without a gradient fools no more than one by gradient; no gradient is zero. "
        "Where twice the steps fool more, the attack has not converged: take the larger figure.",
        "head": ["model", "", "checks", "found"],
        "rows": rows,
    }


def _boundary(comparison: Comparison) -> Table:
    rows = []
    for _, row in comparison.boundary.iterrows():
        gap = row["difference_to_baseline"]
        rows.append(
            [
                row["model"],
                str(row["images"]),
                interval(row["median"], row["low"], row["high"], digits=3),
                "-" if pd.isna(gap) else f"{gap:+.3f}",
                "-" if pd.isna(gap) else p_value(row["p_value"]),
            ]
        )
    return {
        "title": "Distance to the decision boundary (Equations 3 to 6)",
        "note": "First-order Euclidean distance where a value spans 0 to 1; the paper: it grows.",
        "head": ["model", "images", "median", "mean difference to its original", "p"],
        "rows": rows,
    }
