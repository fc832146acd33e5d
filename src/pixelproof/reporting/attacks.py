"""Every attack on every model itself: its budget, whom it fooled, how far it went, what failed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pixelproof.core.statistics.intervals import Interval, rate_interval
from pixelproof.reporting.experiments import Setting, described
from pixelproof.reporting.robust_accuracy import budget_of, budget_words, with_budget
from pixelproof.reporting.rows import record_groups
from pixelproof.reporting.wording import percent

ATTACK_COLUMNS = [
    "model",
    "attack",
    "norm",
    "budget",
    "values",
    "area",
    "steps",
    "queries",
    "sees",
    "images",
    "fooled",
    "rate",
    "low",
    "high",
    "fooled_as_floats",
    "outside_budget",
    "wrong_unchanged",
    "not_attacked",
    *(f"{mean}_{norm}" for norm in ("l0", "l2", "linf") for mean in ("mean", "median")),
    "problem",
]
ALL = "all of this budget"  # the attack of a row of robust accuracy
_COUNTS = ["steps", "queries", "area", "fooled_as_floats", "outside_budget", "not_attacked"]


def attack_table(
    records: Mapping[str, pd.DataFrame], robust: Mapping[str, list[dict[str, Any]]]
) -> pd.DataFrame:
    """What `metrics/attacks.csv` holds: a row an attack, then a row a budget, for each model.

    Args:
        records: By model, what attacks did to the held-out images that no model has seen.
        robust: By model, its robust accuracy; see `robust_accuracy`.

    Returns:
        The columns of `ATTACK_COLUMNS`. `images` are those that were attacked and `rate` the share
        of them that was fooled; of a budget as a whole they are all images, those that are wrong
        unchanged among the fooled. L2 and L-infinity distances are in units of 1/255.
    """
    rows = []
    for model, whole in records.items():
        rows += [
            {"model": model, **_row(setting, own, whole)} for setting, own in with_budget(whole)
        ]
        rows += [{"model": model, **_together(entry)} for entry in robust[model]]
    table = pd.DataFrame(rows, columns=ATTACK_COLUMNS)
    return table.astype(dict.fromkeys(_COUNTS, "Int64"))


def _row(setting: Setting, rows: pd.DataFrame, whole: pd.DataFrame) -> dict[str, Any]:
    """One attack on one model."""
    name = setting["experiment"]
    entry, (norm, budget) = described(name), budget_of(setting)
    counts = rows["outcome"].value_counts()
    outside = int(counts.get("outside its budget", 0))
    fooled = rows["fooled"].dropna().to_numpy(dtype=bool)
    groups = record_groups(rows[rows["fooled"].notna()])
    rate = Interval(np.nan, np.nan, np.nan)
    if len(fooled):
        rate = rate_interval(fooled[:, None], groups=groups)
    counted: dict[str, Any] = {entry.counted or "steps": setting["steps"]}
    return {
        "attack": name,
        "norm": norm,
        "budget": budget,
        "values": setting["values"],
        "area": setting["area"],
        **counted,
        "sees": entry.sees,
        "images": len(fooled),
        "fooled": int(fooled.sum()),
        "rate": rate.value,
        "low": rate.low,
        "high": rate.high,
        "fooled_as_floats": int(rows["fooled_as_floats"].sum()),
        "outside_budget": outside,
        "wrong_unchanged": int(counts.get("wrong unchanged", 0)),
        "not_attacked": int(counts.get("not attacked", 0)),
        **_distances(rows[rows["fooled"].fillna(False).astype(bool)]),
        "problem": whole.attrs.get("problems", {}).get(name),
    }


def _distances(fooled: pd.DataFrame) -> dict[str, float]:
    """The mean and the median distances of the examples that fool."""
    return {
        f"{mean}_{norm}": float(getattr(fooled[norm].astype(float), mean)())
        for norm in ("l0", "l2", "linf")
        for mean in ("mean", "median")
    }


def _together(entry: Mapping[str, Any]) -> dict[str, Any]:
    """All attacks of one budget on one model."""
    robust = entry["robust"]
    return {
        "attack": ALL,
        "norm": entry["norm"],
        "budget": entry["budget"],
        "images": entry["images"],
        "fooled": entry["fooled"],
        "rate": 1 - robust["value"],
        "low": 1 - robust["high"],
        "high": 1 - robust["low"],
        "wrong_unchanged": entry["wrong_unchanged"],
    }


def named_table(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table of the page for attacks by name; empty where there are none."""
    if table.empty:
        return []
    named = table[table["attack"].str.contains(":", regex=False)]
    rows = []
    for row in named.to_dict("records"):
        problem = f": {row['problem']}" if isinstance(row["problem"], str) else ""
        rate = "-"
        if row["images"]:
            rate = f"{percent(row['rate'])} · {row['fooled']} of {row['images']}"
        rows.append(
            [
                row["model"],
                row["attack"],
                budget_words(row["norm"], row["budget"]),
                row["sees"],
                rate,
                str(row["fooled_as_floats"]),
                _far(row),
                str(row["outside_budget"]),
                f"{row['not_attacked']}{problem}",
            ]
        )
    table_of_page = {
        "title": "Attacks by name",
        "note": "Wrong, of the images that are right unchanged and were attacked. What counts is "
        "the stored image of whole numbers, looked over within the budget whatever the attack "
        "claims; as floats: before rounding. Distances are means over the examples that fool: "
        "changed pixels, and Euclidean and largest changes in units of 1/255.",
        "head": [
            "model",
            "attack",
            "budget",
            "sees",
            "wrong",
            "as floats",
            "L0 / L2 / Linf",
            "outside its budget",
            "not attacked",
        ],
        "rows": rows,
    }
    return [table_of_page] if rows else []


def _far(row: Mapping[str, Any]) -> str:
    if not row["fooled"]:
        return "-"
    return " / ".join(f"{row[f'mean_{norm}']:.3g}" for norm in ("l0", "l2", "linf"))
