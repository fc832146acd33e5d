"""What hardening costs: clean accuracy, and attacks on the model itself, in paired differences.

The gate tests these on fresh draws against the champion, the report on its held-out figures
against the original.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pixelproof.core.statistics.differences import paired_proportions_interval
from pixelproof.core.statistics.groups import Groups, mean_interval
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.params.gate import Gate
from pixelproof.params.project import Params
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.experiments import EXPERIMENTS, Setting
from pixelproof.reporting.rows import groups_of, key_of, rows_of, settings

ONE_SIDED = 0.9  # the bounds of this interval are those of one-sided tests at 5 %


def paired_rates(
    first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], groups: Groups = None
) -> dict[str, float]:
    """The difference of two paired rates with its one-sided bounds.

    Tango's (1998); with groups no narrower than Student's over the groups.
    """
    more, less = int((first & ~second).sum()), int((second & ~first).sum())
    low, high = paired_proportions_interval(more, less, len(first), ONE_SIDED)
    if groups is not None:
        least, most = mean_interval(first.astype(float) - second, groups, ONE_SIDED)
        low, high = max(-1.0, min(low, least)), min(1.0, max(high, most))
    value = (more - less) / len(first)
    return {"difference": value, "low": low, "high": high, "images": len(first)}


def tellable(images: int) -> float:
    """The smallest margin that this many images can exclude where no difference is observed."""
    return paired_proportions_interval(0, 0, images, ONE_SIDED)[1] if images else 1.0


def accuracy_difference(ledger: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """A model's clean accuracy minus another's, on every held-out image."""
    clean = [rows_of(model, "clean").sort_values("image") for model in (ledger, other)]
    right = [(rows["prediction"] == rows["label"]).to_numpy(dtype=bool) for rows in clean]
    return paired_rates(right[0], right[1], groups_of(ledger, list(clean[0]["image"])))


def gated_settings(ledger: pd.DataFrame) -> list[dict[str, Any]]:
    """What was measured of the experiments that the gate compares, without empty columns."""
    names = [name for name, entry in EXPERIMENTS.items() if entry.gated]
    return [
        {column: value for column, value in setting.items() if value is not None}
        for setting, _ in settings(ledger[ledger["experiment"].isin(names)])
    ]


def attacked_images(pair: Sequence[pd.DataFrame], common: list[str], setting: Setting) -> list[str]:
    """The common images on which two models were both attacked."""
    taken = [set(rows_of(ledger, **setting)["image"]) for ledger in pair]
    return [image for image in common if image in taken[0] & taken[1]]


def attack_difference(
    pair: Sequence[pd.DataFrame], images: list[str], setting: Setting
) -> dict[str, float]:
    """How much more often an attack on each of two models itself fools the first of them.

    An image counts as fooled where any of its draws is wrong; an attack has one.
    """
    rows = [rows_of(ledger, **setting) for ledger in pair]
    fooled = [np.asarray(wrong_by_image(chosen, images).any(axis=1)) for chosen in rows]
    rates = {"rate": float(fooled[0].mean()), "other": float(fooled[1].mean())}
    return {**paired_rates(fooled[0], fooled[1], groups_of(pair[0], images)), **rates}


def _with_tellable(difference: Mapping[str, float]) -> dict[str, float]:
    return {**difference, "tellable": tellable(int(difference["images"]))}


def _cost(comparison: Comparison, model: str) -> dict[str, Any]:
    """What one hardened model costs against its original and its control."""
    own, origin = comparison.ledgers[model], comparison.params.origin(model)
    others = {"versus_baseline": origin, "versus_control": comparison.control_of(model)}
    accuracy = {
        key: _with_tellable(accuracy_difference(own, comparison.ledgers[other]))
        for key, other in others.items()
        if other is not None
    }
    pair, attacks = (own, comparison.ledgers[origin]), {}
    for setting in gated_settings(own):
        images = attacked_images(pair, comparison.common, setting)
        if images:
            difference = attack_difference(pair, images, setting)
            attacks[key_of(setting)] = {**setting, **_with_tellable(difference)}
    return {"accuracy": accuracy, "attacks": attacks}


def costs(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """What each hardened model costs: the arms with changed pixels, and the gate's challenger.

    Args:
        comparison: Of all models.

    Returns:
        By model: of the clean accuracy its difference to the original and the control, of each
        attack on the model itself that to the original; with one-sided bounds, as the gate has.
    """
    params = comparison.params
    challenger = params.gate.challenger if params.gate else None
    named = [name for name, arm in params.finetune.arms.items() if arm.n or name == challenger]
    return {name: _cost(comparison, name) for name in named if name in comparison.ledgers}


def margins(params: Params) -> Mapping[str, Any]:
    """What the gate allows and requires; its defaults where there is none."""
    gate = params.gate or Gate(challenger="")
    return {
        "challenger": gate.challenger or None,
        "accuracy": gate.accuracy_margin,
        "attack": gate.attack_margin,
        "images": gate.images,
    }
