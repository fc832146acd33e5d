"""From ledgers to figures: the common set, rates and Pi with intervals, paired differences."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.differences import holm, paired_difference, sign_flip_p_value
from pixelproof.core.statistics.intervals import (
    Interval,
    balanced_accuracy,
    median_interval,
    rate_interval,
    wilson,
)
from pixelproof.errors import DataError
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.params.project import Params

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
SETTING = ["experiment", "epsilon", "steps", "n", "values", "area"]
ADVERSARIAL_SETS = (
    "transfer_fgsm",
    "adversarial_pixels",
)  # judged on the whole set, not on the common images

Ledgers = Mapping[str, pd.DataFrame]


def without(ledger: pd.DataFrame, seen: Collection[str]) -> pd.DataFrame:
    """A ledger without the images that any compared model was trained on."""
    return ledger[~ledger["image"].isin(list(seen))]


def of_split(ledger: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of the images of a split: `held_out`, or `train` of the protocol `paper`."""
    return ledger[ledger["split"] == split]


def common_images(ledgers: Ledgers, limit: int | None = None, split: str = "held-out") -> list[str]:
    """The images that every model classifies right unchanged (Section 6, the paper's rule).

    Args:
        ledgers: By model.
        limit: At most so many; those with the smallest ids, a hash of their content.
        split: What the images are called in the error.

    Raises:
        DataError: There is none; says how many each model gets right.
    """
    right = []
    for ledger in ledgers.values():
        clean = ledger[ledger["experiment"] == "clean"]
        right.append(set(clean.loc[clean["prediction"] == clean["label"], "image"]))
    common = sorted(set.intersection(*right))
    if not common:
        counts = [f"{name} {len(one)}" for name, one in zip(ledgers, right, strict=True)]
        raise DataError(
            f"no {split} image is classified right by all of {', '.join(ledgers)}, so there is "
            f"nothing to compare them on (right: {', '.join(counts)}); train longer, or compare "
            "fewer models"
        )
    return common[:limit]


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


def _among(images: list[str], rows: pd.DataFrame) -> list[str]:
    """Those of the images that an experiment on some of them has taken."""
    taken = set(rows["image"])
    return [image for image in images if image in taken]


def _settings(ledger: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each experiment and setting, in the order they were run."""
    groups = ledger.groupby(SETTING, dropna=False, sort=False, observed=True)
    named = []
    for key, rows in groups:
        setting = {
            name: None if pd.isna(one) else one for name, one in zip(SETTING, key, strict=True)
        }
        named.append((setting, rows))
    return named


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
        for setting, group in _settings(ledger):
            if setting["experiment"] == "boundary":
                continue
            whole = setting["experiment"] in ("clean", *ADVERSARIAL_SETS)
            images = sorted(group["image"].unique()) if whole else _among(common, group)
            if images:
                found = _result(model, setting, wrong_by_image(group, images))
                rows.append(_with_pi({**found, "protocol": protocol}, side))
    table = pd.DataFrame(rows, columns=RESULT_COLUMNS)
    return table.astype(dict.fromkeys(["epsilon", "steps", "n", "area"], "Int64"))


def boundary(ledgers: Ledgers, common: list[str], params: Params) -> pd.DataFrame:
    """How far the common images lie from each model's decision boundary (Equations 3 to 6).

    Args:
        ledgers: By model.
        common: The common set.
        params: For the origins and the tests.

    Returns:
        One row a model that was measured: model, images, the median distance with the bounds of
        its interval of order statistics, the mean of the paired differences to its original
        (above 0: the paper's r' > r), and their p-value by sign flips. Images whose gradient is
        zero lie infinitely far and stand in the median alone.
    """
    found = {model: _distances(ledger, common) for model, ledger in ledgers.items()}
    table = []
    for model, distances in found.items():
        if distances.empty:
            continue
        row = {"model": model, "images": len(distances)}
        row |= median_interval(distances.to_numpy(dtype=float))._asdict()
        origin = params.origin(model)
        if origin != model:
            gaps = (distances - found[origin]).to_numpy(dtype=float)
            gaps = gaps[np.isfinite(gaps)]
            row["difference_to_baseline"] = float(gaps.mean()) if len(gaps) else np.nan
            compare = params.compare
            row["p_value"] = sign_flip_p_value(gaps, compare.resamples, compare.seed)
        table.append(row)
    columns = ["model", "images", "value", "low", "high", "difference_to_baseline", "p_value"]
    return pd.DataFrame(table, columns=columns).rename(columns={"value": "median"})


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


def _flips(rows: pd.DataFrame, common: list[str]) -> dict[str, dict[str, int]]:
    """How often each true class was taken for which other, over all draws."""
    wrong = rows[rows["image"].isin(common) & (rows["prediction"] != rows["label"])]
    flips: dict[str, dict[str, int]] = {}
    for (label, prediction), count in wrong.groupby(["label", "prediction"]).size().items():
        flips.setdefault(label, {})[prediction] = int(count)
    return flips


def summary(ledgers: Ledgers, common: list[str], params: Params) -> dict[str, Any]:
    """What each model is worth at the reference point, and how it differs from the others.

    Differences are of the error rate, this model minus the other, paired by image and draw.

    Args:
        ledgers: By model.
        common: The common set.
        params: For the reference point, the control and the origins.

    Returns:
        What `metrics/summary.json` holds.
    """
    compare, reference = params.compare, params.compare.reference
    grid = params.reference_grid
    values = grid.values
    side = params.select.side
    at_reference = {}
    for model, ledger in ledgers.items():
        chosen = (ledger["experiment"] == reference.experiment) & (ledger["n"] == reference.n)
        at_reference[model] = ledger[chosen]
    wrong = {model: wrong_by_image(rows, common) for model, rows in at_reference.items()}

    def difference(model: str, other: str) -> dict[str, Any]:
        found = paired_difference(
            wrong[model],
            wrong[other],
            resamples=compare.resamples,
            seed=compare.seed,
            by_draw=params.generate.positions == "shared",
        )
        images, draws = wrong[model].shape
        bounds = {"difference": found.value, "low": found.low, "high": found.high}
        return {**bounds, "p_value": found.p_value, "images": images, "draws": draws}

    models = {}
    for model, ledger in ledgers.items():
        rate = rate_interval(wrong[model])
        pi = [pixel_index(bound, reference.n, side, values, grid.area) for bound in rate]
        models[model] = {
            **clean_figures(ledger),
            "error_rate": rate._asdict(),
            "pi": Interval(*pi)._asdict(),
            "flips": _flips(at_reference[model], common),
            **_against(model, params, difference),
        }
    _adjust(models)
    area = grid.area or side
    point = {"experiment": reference.experiment, "n": reference.n, "values": values, "area": area}
    return {"models": models, "reference": point, "control": compare.control}


def _adjust(models: dict[str, Any]) -> None:
    """Add p-values against the control that are adjusted over the arms (Holm 1979)."""
    arms = [entry for entry in models.values() if "versus_baseline" in entry]
    tested = [entry["versus_control"] for entry in arms if "versus_control" in entry]
    adjusted = holm([one["p_value"] for one in tested])
    for one, p_value in zip(tested, adjusted, strict=True):
        one["p_value_holm"] = p_value


def _against(
    model: str, params: Params, difference: Callable[[str, str], dict[str, Any]]
) -> dict[str, Any]:
    """The differences to a model's own original and to the control arm of that original."""
    against = {}
    origin, control = params.origin(model), params.compare.control
    if model != origin:
        against["versus_baseline"] = difference(model, origin)
    if control in params.finetune.arms and control != model and params.origin(control) == origin:
        against["versus_control"] = difference(model, control)
    return against


@dataclass(frozen=True)
class Comparison:
    """What is known of all models: the ledgers of unseen images, and what was made of them.

    Attributes:
        params: The whole of `params.yaml`.
        ledgers: By model, the held-out images that none has seen.
        common: The images that all models get right unchanged.
        table: What `metrics/results.csv` holds.
        boundary: What `metrics/boundary.csv` holds.
        summary: What `metrics/summary.json` holds.
    """

    params: Params
    ledgers: Ledgers
    common: list[str]
    table: pd.DataFrame
    boundary: pd.DataFrame
    summary: Mapping[str, Any]

    def control_of(self, model: str) -> str | None:
        """The control arm that a model is measured against; None where there is none."""
        control, arms = self.params.compare.control, self.params.finetune.arms
        if control is None or control not in arms or control == model:
            return None
        same = self.params.origin(control) == self.params.origin(model)
        return control if same else None

    def levels(self, experiment: str, column: str, model: str | None = None) -> list[Any]:
        """The values of a setting that an experiment goes over, in their order."""
        rows = self.table[self.table["experiment"] == experiment]
        rows = rows if model is None else rows[rows["model"] == model]
        return sorted(rows.loc[rows["protocol"] == "held_out", column].dropna().unique())

    def wrong(self, model: str, experiment: str, **setting: Any) -> npt.NDArray[np.bool_]:
        """Which draws of which images are wrong, (images, draws), in one setting."""
        ledger = self.ledgers[model]
        chosen = ledger["experiment"] == experiment
        for column, value in setting.items():
            chosen &= ledger[column] == value
        rows = ledger[chosen.fillna(False)]
        whole = experiment in ("clean", *ADVERSARIAL_SETS)
        images = sorted(rows["image"].unique()) if whole else _among(self.common, rows)
        return wrong_by_image(rows, images)

    def at_reference(self, model: str) -> npt.NDArray[np.bool_]:
        """Which draws of the common images are wrong at the reference point."""
        point = self.params.compare.reference
        return self.wrong(model, point.experiment, n=point.n)

    def distances(self, model: str) -> "pd.Series[float]":
        """The distance of the common images to a model's decision boundary, by image."""
        return _distances(self.ledgers[model], self.common)


def wrong_by_id(
    comparison: Comparison, model: str, experiment: str, **setting: Any
) -> dict[str, bool]:
    """Which images a model gets wrong in one setting of an attack, one draw each."""
    ledger = comparison.ledgers[model]
    chosen = ledger["experiment"] == experiment
    for column, value in setting.items():
        chosen &= ledger[column] == value
    rows = ledger[chosen.fillna(False)]
    return dict(zip(rows["image"], rows["prediction"] != rows["label"], strict=True))


def _distances(ledger: pd.DataFrame, common: list[str]) -> "pd.Series[float]":
    rows = ledger[ledger["experiment"] == "boundary"]
    found = rows.set_index("image")["margin"].astype(float)
    return found.reindex(_among(common, rows))
