"""Figures as the metrics of a run: (name, value, step)."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pixelproof.core.pixel_changes import parse_values
from pixelproof.reporting.experiments import COMPARED_N, described
from pixelproof.system import files

if TYPE_CHECKING:
    import pandas as pd

Metric = tuple[str, float, int]


def bounded(name: str, entry: Mapping[str, Any], key: str = "value") -> list[Metric]:
    """An estimate and the bounds of its interval, three metrics.

    Args:
        name: Of the estimate's metric.
        entry: With `low`, `high` and the estimate.
        key: Of the estimate.
    """
    named = {name: entry[key], f"{name}_low": entry["low"], f"{name}_high": entry["high"]}
    return [(metric, float(value), 0) for metric, value in named.items()]


def clean_metrics(figures: Mapping[str, Any]) -> list[Metric]:
    """Accuracy on the unchanged images, and recall by class."""
    metrics = bounded("clean_accuracy", figures["clean_accuracy"])
    metrics += bounded("balanced_accuracy", figures["balanced_accuracy"])
    for label, entry in figures["recall"].items():
        metrics.append((f"recall/{_plain(label)}", float(entry["value"]), 0))
    return metrics


def result_metrics(table: "pd.DataFrame") -> Iterator[Metric]:
    """Error rates and Pi as curves over n, offset or side; Pi at n = 64; error rates of attacks."""
    for row in table.to_dict("records"):
        entry, name = described(row["experiment"]), row["experiment"]
        if row["protocol"] == "paper":
            name = f"protocol_paper/{name}"
        rate = float(row["error_rate"])
        counted = f"_{entry.counted}{row['steps']}" if entry.counted else ""
        if entry.over == "values":
            _, offset = parse_values(row["values"])
            yield f"by_offset/{name}_n{row['n']}{counted}_error_rate", rate, offset
        elif entry.over == "area":
            yield f"by_side/{name}_n{row['n']}{counted}_error_rate", rate, int(row["area"])
        elif entry.over == "n":
            yield f"by_n/{name}{counted}_error_rate", rate, int(row["n"])
            yield from _pi(f"{name}{counted}", row)
        elif entry.over == "epsilon":
            yield f"{name}/error_rate_epsilon{row['epsilon']}{counted}", rate, 0


def _pi(name: str, row: Mapping[str, Any]) -> Iterator[Metric]:
    if math.isfinite(row["pi"]):
        yield f"by_n/{name}_pi", float(row["pi"]), int(row["n"])
        if row["n"] == COMPARED_N:
            bounds = {"value": row["pi"], "low": row["pi_low"], "high": row["pi_high"]}
            yield from bounded(f"{name}/pi_n{COMPARED_N}", bounds)


def _plain(name: str) -> str:
    """A name made of the characters that every tracking store accepts."""
    kept = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "_-. ") else "_"
        for letter in name
    )
    return kept if kept == name else f"{kept}-{files.content_hash(name)[:6]}"
