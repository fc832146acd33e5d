"""The result as a table, on the terminal and in Markdown."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pixelproof.errors import DataError, IntegrityError
from pixelproof.reporting.experiments import EXPERIMENTS, Column
from pixelproof.reporting.wording import (
    bounded_percent,
    estimate,
    left_out,
    parts,
    points,
    reference,
)
from pixelproof.reporting.worst_case import worst_words
from pixelproof.system import files

Summary = Mapping[str, Any]
WIDTH = 97  # of the lines below the result table


def _points(entry: Mapping[str, float] | None) -> str:
    return "-" if entry is None else points(entry)


def _rates(table: pd.DataFrame, model: str, experiment: str) -> str:
    rows = table[(table["model"] == model) & (table["experiment"] == experiment)]
    return " / ".join(f"{100 * rate:.0f}" for rate in rows["error_rate"]) or "-"


def _columns() -> list[tuple[str, Column]]:
    """The experiments that have a column in the result table."""
    named = [(name, entry.column) for name, entry in EXPERIMENTS.items()]
    return [(name, column) for name, column in named if column is not None]


def _epsilons(table: pd.DataFrame, experiment: str) -> str:
    """The strengths of an attack in words; empty where it has none or was not measured."""
    strengths = table.loc[table["experiment"] == experiment, "epsilon"].dropna().unique()
    return f" (epsilon {'/'.join(map(str, strengths))}/255)" if len(strengths) else ""


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
    rows = [[*head, *(column.head for _, column in _columns())]]
    for model, entry in summary["models"].items():
        pi = entry["pi"]
        rows.append(
            [
                model,
                bounded_percent(entry["clean_accuracy"]),
                f"{100 * entry['error_rate']['value']:.1f}",
                estimate(pi),
                *([_points(entry.get("versus_control"))] if control else []),
                *(_rates(table, model, name) for name, _ in _columns()),
            ]
        )
    return rows


def _legend(summary: Summary, table: pd.DataFrame) -> list[str]:
    """What the columns of the result table mean."""
    control = summary["control"]
    minus = f", minus {control} (points)" if control else ""
    words = [
        f"accuracy: on {summary['held_out_images']} held-out images.{parts(summary)}",
        f"wrong, Pi{minus}: with {reference(summary)} in the {summary['common_images']} that all "
        "models get right.",
    ]
    columns = _columns()
    for images in dict.fromkeys(column.on for _, column in columns):
        shown = "; ".join(
            f"{column.name}, {column.of}{_epsilons(table, name)}"
            for name, column in columns
            if column.on == images
        )
        words.append(f"Wrong on {images}: {shown}.")
    lines = textwrap.wrap(" ".join(words), WIDTH, break_on_hyphens=False)
    for line in worst_words(summary):
        lines += textwrap.wrap(line, WIDTH, break_on_hyphens=False)
    return [*lines, *([left_out(summary)] if summary.get("unknown_seen") else [])]


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
    """The summary and the table that `compare` wrote into a folder, as the tables need them.

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
    except (ValueError, KeyError, TypeError) as error:  # what pandas raises on other tables
        words = f"expected what the stage compare writes: {error}"
        raise IntegrityError(f"{path}: {words}; {files.remedy(path)}") from None
    return summary, table


def result_name(summary: Summary) -> str:
    """A short hash of a summary, by which the page and the terminal name the same result."""
    return files.content_hash(summary)[:12]
