"""The table of results: error rates and Pi with intervals, by model, experiment and setting."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.intervals import Interval, balanced_accuracy, rate_interval, wilson
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.reporting.rows import Ledgers, among, settings

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
ADVERSARIAL_SETS = (
    "transfer_fgsm",
    "adversarial_pixels",
)  # judged on the whole set, not on the common images


def _result(model: str, setting: Mapping[str, Any], wrong: npt.NDArray[np.bool_]) -> dict[str, Any]:
    rate = rate_interval(wrong)
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
    if row["n"] and row["experiment"] not in ADVERSARIAL_SETS:
        for key, rate in (("pi", "error_rate"), ("pi_low", "error_low"), ("pi_high", "error_high")):
            row[key] = pixel_index(row[rate], row["n"], side, row["values"], row["area"])
    return row


def results(
    ledgers: Ledgers, common: list[str], side: int, protocol: str = "held_out"
) -> pd.DataFrame:
    """One row a model, experiment and setting, with the columns of `RESULT_COLUMNS`.

    `clean` counts every held-out image; changed images and attacks on the model itself count
    the common set, or those of it that were attacked; adversarial sets count themselves.

    Args:
        ledgers: By model.
        common: The common set.
        side: The side of the images in pixels.
        protocol: What the ledgers' rows belong to.
    """
    rows = []
    for model, ledger in ledgers.items():
        for setting, group in settings(ledger):
            if setting["experiment"] == "boundary":
                continue
            whole = setting["experiment"] in ("clean", *ADVERSARIAL_SETS)
            images = sorted(group["image"].unique()) if whole else among(common, group)
            if images:
                found = _result(model, setting, wrong_by_image(group, images))
                rows.append(_with_pi({**found, "protocol": protocol}, side))
    table = pd.DataFrame(rows, columns=RESULT_COLUMNS)
    return table.astype(dict.fromkeys(["epsilon", "steps", "n", "area"], "Int64"))


def clean_figures(ledger: pd.DataFrame) -> dict[str, Any]:
    """Clean accuracy, balanced accuracy and recall by class, on every held-out image."""
    clean = ledger[ledger["experiment"] == "clean"]
    labels, classes = pd.factorize(clean["label"], sort=True)
    correct = (clean["prediction"] == clean["label"]).to_numpy(dtype=bool)
    accuracy = Interval(float(correct.mean()), *wilson(float(correct.sum()), len(correct)))
    recall = {}
    for index, name in enumerate(classes):
        of_class = correct[labels == index]
        bounds = wilson(float(of_class.sum()), len(of_class))
        recall[name] = Interval(float(of_class.mean()), *bounds)._asdict()
    return {
        "clean_accuracy": accuracy._asdict(),
        "balanced_accuracy": balanced_accuracy(correct, labels)._asdict(),
        "recall": recall,
    }
