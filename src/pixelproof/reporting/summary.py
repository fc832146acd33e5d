"""The summary: each model at the reference point, and how it differs from the others."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pandas as pd

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.differences import holm, paired_difference
from pixelproof.core.statistics.intervals import Interval, rate_interval
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.params.project import Params
from pixelproof.reporting.results import clean_figures
from pixelproof.reporting.rows import Ledgers, groups_of, rows_of
from pixelproof.reporting.worst_case import pi_worst, worst_cases


def _flips(rows: pd.DataFrame, common: list[str]) -> dict[str, dict[str, int]]:
    """How often each true class was taken for which other, over all draws."""
    wrong = rows[rows["image"].isin(common) & (rows["prediction"] != rows["label"])]
    flips: dict[str, dict[str, int]] = {}
    for (label, prediction), count in wrong.groupby(["label", "prediction"]).size().items():
        flips.setdefault(label, {})[prediction] = int(count)
    return flips


def summary(ledgers: Ledgers, common: list[str], params: Params) -> dict[str, Any]:
    """Each model's figures at the reference point, and its differences to others.

    Differences are of the error rate, this model minus the other, paired by image and draw.

    Args:
        ledgers: By model.
        common: The common set.
        params: For the reference point, the control and the origins.

    Returns:
        What `metrics/summary.json` holds.
    """
    compare, reference = params.compare, params.compare.reference
    grid, side = params.reference_grid, params.select.side
    at_reference = {
        model: rows_of(ledger, reference.experiment, n=reference.n)
        for model, ledger in ledgers.items()
    }
    wrong = {model: wrong_by_image(rows, common) for model, rows in at_reference.items()}
    groups = groups_of(next(iter(ledgers.values())), common)

    def difference(model: str, other: str) -> dict[str, Any]:
        paired = paired_difference(
            wrong[model],
            wrong[other],
            resamples=compare.resamples,
            seed=compare.seed,
            by_draw=params.generate.positions == "shared",
            groups=groups,
        )
        images, draws = wrong[model].shape
        bounds = {"difference": paired.value, "low": paired.low, "high": paired.high}
        return {**bounds, "p_value": paired.p_value, "images": images, "draws": draws}

    models = {}
    for model, ledger in ledgers.items():
        rate = rate_interval(wrong[model], groups=groups)
        pi = [pixel_index(bound, reference.n, side, grid.values, grid.area) for bound in rate]
        models[model] = {
            **clean_figures(ledger),
            "error_rate": rate._asdict(),
            "pi": Interval(*pi)._asdict(),
            "flips": _flips(at_reference[model], common),
            **_worst(worst_cases(ledger, common, side), grid.values, grid.area or side),
            **_against(model, params, difference),
        }
    _adjust(models)
    point = {**asdict(reference), "values": grid.values, "area": grid.area or side}
    return {"models": models, "reference": point, "control": compare.control}


def _worst(cases: list[dict[str, Any]], values: str, area: int) -> dict[str, Any]:
    """The worst cases, where any was searched, and Pi of the one at the reference point."""
    worst = pi_worst(cases, values, area)
    found: dict[str, Any] = {"worst_cases": cases} if cases else {}
    return {**found, "pi_worst": worst} if worst else found


def _adjust(models: dict[str, Any]) -> None:
    """Add p-values against the control that are adjusted over the arms (Holm 1979)."""
    arms = [entry for entry in models.values() if "versus_baseline" in entry]
    tested = [entry["versus_control"] for entry in arms if "versus_control" in entry]
    adjusted = holm([versus["p_value"] for versus in tested])
    for versus, p_value in zip(tested, adjusted, strict=True):
        versus["p_value_holm"] = p_value


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
