"""Methods that were trained several times: arms that differ in their seed alone.

One arm is one model. Only over several seeds may words speak of the method.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelproof.core.statistics.differences import Difference
from pixelproof.core.statistics.repetitions import repeated_difference
from pixelproof.params.project import Params
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.rows import rows_of
from pixelproof.reporting.wording import percent, points, reference

Models = dict[int, str]  # by seed


def repeated(params: Params) -> dict[str, Models]:
    """The arms that differ in their seed alone, two or more, by the name of the first."""
    groups: dict[object, Models] = {}
    for name, arm in params.finetune.arms.items():
        seed = params.finetune.seed if arm.seed is None else arm.seed
        key = repr(dataclasses.replace(arm, seed=None))
        groups.setdefault(key, {}).setdefault(seed, name)
    return {next(iter(each.values())): each for each in groups.values() if len(each) > 1}


def methods(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Each repeated method against the control, over the seeds that both were trained with.

    Returns:
        By the first arm's name: its `arms` and `seeds`; the `error_rate` of method and `control`
        at the reference point and their `ratio`, over all seeds and by seed; their `difference`
        with its interval over images and seeds; and the same of the clean `accuracy`. Empty where
        the control was not repeated.
    """
    groups = repeated(comparison.params)
    control = comparison.params.compare.control
    controls = next((each for each in groups.values() if control in each.values()), {})
    found = {}
    for name, arms in groups.items():
        seeds = [seed for seed in arms if seed in controls]
        if comparison.control_of(name) is not None and len(seeds) > 1:
            found[name] = _against(
                comparison, [arms[seed] for seed in seeds], [controls[seed] for seed in seeds]
            ) | {"seeds": seeds}
    return found


def _against(comparison: Comparison, arms: list[str], controls: list[str]) -> dict[str, Any]:
    wrong, theirs = (
        np.stack([comparison.at_reference(model) for model in models])
        for models in (arms, controls)
    )
    right, others = (
        np.stack([_right(comparison, model) for model in models]) for models in (arms, controls)
    )
    counted = comparison.counted(arms[0], "clean")
    rates = [
        (float(own.mean()), float(other.mean())) for own, other in zip(wrong, theirs, strict=True)
    ]
    means = float(wrong.mean()), float(theirs.mean())
    return {
        "arms": arms,
        "images": wrong.shape[1],
        "draws": wrong.shape[2],
        "error_rate": means[0],
        "control": means[1],
        "ratio": _ratio(*means),
        "ratios": [_ratio(*pair) for pair in rates],
        "differences": [own - other for own, other in rates],
        **_named(repeated_difference(wrong, theirs, groups=comparison.groups())),
        "accuracy": _named(repeated_difference(right, others, groups=comparison.groups(counted))),
    }


def _named(found: Difference) -> dict[str, float]:
    fields = {"low": found.low, "high": found.high, "p_value": found.p_value}
    return {"difference": found.value, **fields}


def _ratio(own: float, other: float) -> float | None:
    return own / other if other else None


def _right(comparison: Comparison, model: str) -> npt.NDArray[np.bool_]:
    """(images, 1): which held-out images a model gets right unchanged, by id."""
    clean = rows_of(comparison.ledgers[model], "clean").sort_values("image")
    return np.asarray(clean["prediction"] == clean["label"], dtype=bool)[:, None]


def method_words(summary: Mapping[str, Any]) -> list[str]:
    """A sentence a method; empty where none was repeated."""
    lines = []
    for name, entry in summary.get("methods", {}).items():
        rates = f"{percent(entry['error_rate'])} against {percent(entry['control'])}"
        known = [ratio for ratio in entry["ratios"] if ratio is not None]
        spread = f" ({min(known):.2f} to {max(known):.2f} by seed)" if known else ""
        errs = "errs where its control does not"
        if entry["ratio"] is not None:
            errs = f"errs {entry['ratio']:.2f} times as often as its control{spread}"
        lines.append(
            f"Over {len(entry['seeds'])} training seeds, with {reference(summary)}, the method of "
            f"{name} {errs}: {rates}, {points(entry)} points over images and seeds. Accuracy: "
            f"{points(entry['accuracy'])} points."
        )
    return lines
