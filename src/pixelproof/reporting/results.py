"""The table of results: error rates and Pi with intervals, by model, experiment and setting."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.groups import Groups, as_groups
from pixelproof.core.statistics.intervals import balanced_accuracy, rate_interval
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.reporting.experiments import check_known, described
from pixelproof.reporting.rows import Ledgers, among, group_codes, group_names, groups_of, settings

RESULT_COLUMNS = [
    "model",
    "experiment",
    "protocol",
    "epsilon",
    "steps",
    "n",
    "values",
    "area",
    "images",
    "draws",
    "wrong",
    "error_rate",
    "error_low",
    "error_high",
    "pi",
    "pi_low",
    "pi_high",
]


def counted_images(rows: pd.DataFrame, common: list[str], experiment: str) -> list[str]:
    """The images whose predictions count, of the rows of an experiment."""
    if described(experiment).images == "all":
        return sorted(rows["image"].unique())
    return among(common, rows)


def _result(
    model: str, setting: Mapping[str, Any], wrong: npt.NDArray[np.bool_], groups: Groups
) -> dict[str, Any]:
    rate = rate_interval(wrong, groups=groups)
    return {
        "model": model,
        **setting,
        "images": wrong.shape[0],
        "draws": wrong.shape[1],
        "wrong": int(wrong.sum()),
        "error_rate": rate.value,
        "error_low": rate.low,
        "error_high": rate.high,
    }


def _with_pi(row: dict[str, Any], side: int) -> dict[str, Any]:
    """Add Pi (Equation 7), which is linear in the error rate, so its bounds follow."""
    if row["n"] and described(row["experiment"]).pi:
        for key, rate in (("pi", "error_rate"), ("pi_low", "error_low"), ("pi_high", "error_high")):
            row[key] = pixel_index(row[rate], row["n"], side, row["values"], row["area"])
    return row


def results(
    ledgers: Ledgers, common: list[str], side: int, protocol: str = "held_out"
) -> pd.DataFrame:
    """One row a model, experiment and setting, with the columns of `RESULT_COLUMNS`.

    Changed images and attacks on the model itself count the common set, or those of it that were
    attacked; unchanged images and adversarial sets count themselves (`Experiment.images`).

    Args:
        ledgers: By model.
        common: The common set.
        side: The side of the images in pixels.
        protocol: What the ledgers' rows belong to.

    Raises:
        DataError: A ledger holds an experiment that has no entry.
    """
    rows = []
    for model, ledger in ledgers.items():
        check_known(ledger["experiment"].unique())
        named = group_names(ledger)
        for setting, group in settings(ledger):
            images = counted_images(group, common, setting["experiment"])
            if images and described(setting["experiment"]).errors:
                groups = group_codes(named, images)
                row = _result(model, setting, wrong_by_image(group, images), groups)
                rows.append(_with_pi({**row, "protocol": protocol}, side))
    table = pd.DataFrame(rows, columns=RESULT_COLUMNS)
    return table.astype(dict.fromkeys(["epsilon", "steps", "n", "area"], "Int64"))


def clean_figures(ledger: pd.DataFrame) -> dict[str, Any]:
    """Clean accuracy, balanced accuracy and recall by class, on every held-out image."""
    clean = ledger[ledger["experiment"] == "clean"]
    labels, classes = pd.factorize(clean["label"], sort=True)
    correct = (clean["prediction"] == clean["label"]).to_numpy(dtype=bool)
    groups = groups_of(ledger, list(clean["image"]))
    accuracy = rate_interval(correct[:, None], groups=groups)
    recall = {}
    for index, name in enumerate(classes):
        chosen = labels == index
        among = None if groups is None else as_groups(groups[chosen])
        recall[name] = rate_interval(correct[chosen][:, None], groups=among)._asdict()
    return {
        "clean_accuracy": accuracy._asdict(),
        "balanced_accuracy": balanced_accuracy(correct, labels, groups=groups)._asdict(),
        "recall": recall,
    }
