"""Tests of the paper's claims on hardened models (Section 6.2), each against the control."""

from collections.abc import Iterator

import numpy as np

from pixelproof.core.statistics.differences import Difference, holm, sign_flip_p_value
from pixelproof.reporting.claim_answers import Answer, missing, not_comparable, paired, status
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.wording import small_percent, with_p_value

MARGIN = 0.02  # of clean accuracy, within which it is "kept"


def _hardened(comparison: Comparison) -> list[str]:
    arms = comparison.params.finetune.arms
    return [name for name, arm in arms.items() if arm.n and comparison.control_of(name)]


def retraining(comparison: Comparison) -> Answer:
    """Whether every hardened arm errs less than its control in every setting."""
    names = _hardened(comparison)
    if not names:
        return not_comparable("no hardened arm, or no control arm beside it")
    cases, differences = [], []
    for name in names:
        control = comparison.control_of(name)
        for experiment in ("pixels", "stuck"):
            for n in comparison.levels(experiment, "n"):
                wrong = comparison.wrong(name, experiment, n=n)
                other = comparison.wrong(str(control), experiment, n=n)
                cases.append(f"{name} at {n} {experiment}")
                differences.append(paired(comparison, wrong, other))
    adjusted = holm([difference.p_value for difference in differences])
    fails = [
        case
        for case, difference, p in zip(cases, differences, adjusted, strict=True)
        if not (difference.value < 0 and p < 0.05)
    ]
    words = f"better than the control in {len(cases) - len(fails)} of {len(cases)} settings"
    if fails:
        words += f"; not in {', '.join(fails[:6])}" + (" …" if len(fails) > 6 else "")
    return Answer(
        status(not fails), words, "paired against the control arm, sign flips by image, Holm"
    )


def few_or_many(comparison: Comparison) -> Answer:
    """Whether the arm with the fewest changed pixels beats the one with the most."""
    arms = comparison.params.finetune.arms
    by_values: dict[str, list[str]] = {}
    for name in _hardened(comparison):
        by_values.setdefault(arms[name].values, []).append(name)
    for names in by_values.values():
        ordered = sorted(names, key=lambda name: arms[name].n)
        if arms[ordered[0]].n < arms[ordered[-1]].n:
            few, many = ordered[0], ordered[-1]
            difference = paired(
                comparison, comparison.at_reference(few), comparison.at_reference(many)
            )
            words = f"{few} minus {many}: {with_p_value(difference)}"
            return Answer(
                status(difference.high < 0), words, "at the reference point, paired by image"
            )
    return missing("two arms that differ in n alone")


def clean_accuracy(comparison: Comparison) -> Answer:
    """Whether every hardened arm keeps its original's clean accuracy."""
    names = [name for name, arm in comparison.params.finetune.arms.items() if arm.n]
    if not names:
        return not_comparable("no hardened arm")
    words, kept = [], True
    for name in names:
        right = ~comparison.wrong(name, "clean")
        before = ~comparison.wrong(comparison.params.origin(name), "clean")
        difference = paired(comparison, right, before)
        kept &= difference.low > -MARGIN
        rates = f"{small_percent(before.mean())} to {small_percent(right.mean())}"
        words.append(f"{name}: {rates}, {with_p_value(difference)}")
    limit = f"lower bound above −{100 * MARGIN:.0f} points"
    reason = f"accuracy on all held-out images minus the original's: {limit}"
    return Answer(status(kept), "; ".join(words), reason)


def recovery(comparison: Comparison) -> Answer:
    """Whether every hardened arm is right on more FGSM examples than its control."""
    words, better = [], True
    for name in _hardened(comparison):
        wrong = comparison.wrong(name, "transfer_fgsm")
        other = comparison.wrong(str(comparison.control_of(name)), "transfer_fgsm")
        if len(wrong) and wrong.shape == other.shape:
            difference = paired(comparison, wrong, other)
            better &= difference.high < 0
            words.append(
                f"{name} recovers {small_percent(1 - wrong.mean())}, the control "
                f"{small_percent(1 - other.mean())} of {len(wrong)}: {with_p_value(difference)}"
            )
    if not words:
        return missing("FGSM examples of the original against a control")
    reason = "paired against the control: any other network recovers some"
    return Answer(status(better), "; ".join(words), reason)


def boundary(comparison: Comparison) -> Answer:
    """Whether the images lie further from the boundary of hardened models."""
    names = _hardened(comparison)
    table = comparison.boundary.set_index("model")
    names = [name for name in names if name in table.index]
    if not names:
        return missing("the distance to the boundary")
    words, further = [], True
    for name in names:
        row = table.loc[name]
        control = str(comparison.control_of(name))
        further &= row["difference_to_baseline"] > 0 and row["p_value"] < 0.05
        gap = comparison.distances(name) - comparison.distances(control)
        gap = gap[np.isfinite(gap)]
        compare = comparison.params.compare
        p = sign_flip_p_value(gap.to_numpy(), compare.resamples, compare.seed)
        words.append(
            f"{name}: median {row['median']:.3g}, mean {row['difference_to_baseline']:+.3g} "
            f"against its original (p = {row['p_value']:.2g}), {gap.mean():+.3g} against the "
            f"control (p = {p:.2g})"
        )
    reason = (
        "first-order distance, paired by image with the original, sign flips; what the control "
        "shows as well is not the merit of changed pixels"
    )
    return Answer(status(further), "; ".join(words), reason)


def augmentation(comparison: Comparison) -> Answer:
    """Whether arms with ordinary augmentation err as often as the control."""
    names = [
        name
        for name, arm in comparison.params.finetune.arms.items()
        if arm.augment != "none" and not arm.n and comparison.control_of(name)
    ]
    if not names:
        return missing("an arm of ordinary augmentation")
    words, helps = [], []
    for name, difference in _against_control(comparison, names):
        helps.append(difference.high < 0)
        words.append(f"{name}: {with_p_value(difference)}")
    reason = "none of them errs less than the control at the reference point"
    return Answer(status(not any(helps)), "; ".join(words), reason)


def _against_control(comparison: Comparison, names: list[str]) -> Iterator[tuple[str, Difference]]:
    for name in names:
        control = str(comparison.control_of(name))
        pair = comparison.at_reference(name), comparison.at_reference(control)
        yield name, paired(comparison, *pair)
