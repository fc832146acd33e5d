"""The result as a table, on the terminal and in Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pixelproof.errors import DataError, IntegrityError
from pixelproof.reporting.wording import bounded_percent, left_out, points, reference
from pixelproof.system import files

Summary = Mapping[str, Any]


def _points(entry: Mapping[str, float] | None) -> str:
    return "-" if entry is None else points(entry)


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
                bounded_percent(entry["clean_accuracy"]),
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
    control = summary["control"]
    return [
        f"accuracy: on {summary['held_out_images']} held-out images. wrong, Pi"
        f"{f', minus {control} (points)' if control else ''}: with {reference(summary)}",
        f"in the {summary['common_images']} that all models get right. Wrong on FGSM "
        "examples: transfer, of those that fool its",
        f"original (epsilon {_epsilons(table, 'transfer_fgsm')}/255); white-box, made from the "
        f"model itself (epsilon {_epsilons(table, 'whitebox_fgsm')}/255).",
        *([left_out(summary)] if summary.get("unknown_seen") else []),
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
        words = f"expected what the stage compare writes: {error}"
        raise IntegrityError(f"{path}: {words}; {files.remedy(path)}") from None
    return summary, table


def result_name(summary: Summary) -> str:
    """A short hash of a summary, by which the page and the terminal speak of the same result."""
    return files.content_hash(summary)[:12]
