"""Tests of the paper's claims on hardened models (Section 6.2), each against the control."""

from collections.abc import Iterator

import numpy as np

from pixelproof.core.statistics.differences import Difference, holm, sign_flip_p_value
from pixelproof.core.statistics.groups import totals
from pixelproof.reporting.claim_answers import (
    SMALL,
    Answer,
    Rates,
    missing,
    not_comparable,
    paired,
    status,
)
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.experiments import COMPARED_N
from pixelproof.reporting.wording import p_value, small_percent, with_p_value

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
    certain = [p < 0.05 for p in adjusted]
    better = [sure and one.value < 0 for sure, one in zip(certain, differences, strict=True)]
    worse = any(sure and one.value > 0 for sure, one in zip(certain, differences, strict=True))
    fails = [case for case, fine in zip(cases, better, strict=True) if not fine]
    words = f"better than the control in {len(cases) - len(fails)} of {len(cases)} settings"
    if fails:
        words += f"; not in {', '.join(fails[:6])}" + (" …" if len(fails) > 6 else "")
    reason = "paired against the control arm by image, sign flips, Holm"
    return Answer(status(not fails, worse), words, reason)


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
            where, (first, second) = _in_table_10(comparison, few, many)
            difference = paired(comparison, first, second)
            words = f"{few} minus {many}: {with_p_value(difference)}"
            answer = status(difference.high < 0, difference.low >= 0)
            return Answer(answer, words, f"{where}, paired by image")
    return missing("two arms that differ in n alone")


def _in_table_10(comparison: Comparison, *models: str) -> tuple[str, list[Rates]]:
    """What is wrong at Table 10's n = 64 in the full range; else at the reference point."""
    if COMPARED_N in comparison.levels("pixels", "n"):
        wrong = [comparison.wrong(model, "pixels", n=COMPARED_N) for model in models]
        return f"at n = {COMPARED_N} in the full range", wrong
    return "at the reference point", [comparison.at_reference(model) for model in models]


def clean_accuracy(comparison: Comparison) -> Answer:
    """Whether every hardened arm keeps its original's clean accuracy."""
    names = [name for name, arm in comparison.params.finetune.arms.items() if arm.n]
    if not names:
        return not_comparable("no hardened arm")
    words, kept, lost = [], True, False
    for name in names:
        right = ~comparison.wrong(name, "clean")
        before = ~comparison.wrong(comparison.params.origin(name), "clean")
        images = comparison.counted(name, "clean")
        difference = paired(comparison, right, before, drawn=False, images=images)
        kept &= difference.low > -MARGIN
        lost |= difference.high <= -MARGIN
        rates = f"{small_percent(before.mean())} to {small_percent(right.mean())}"
        words.append(f"{name}: {rates}, {with_p_value(difference)}")
    limit = f"lower bound above −{100 * MARGIN:.0f} points"
    reason = f"accuracy on all held-out images minus the original's: {limit}"
    return Answer(status(kept, lost), "; ".join(words), reason)


def recovery(comparison: Comparison) -> Answer:
    """Whether every hardened arm is right on more FGSM examples than its control."""
    words, better, worse = [], True, False
    for name in _hardened(comparison):
        wrong = comparison.wrong(name, "transfer_fgsm")
        other = comparison.wrong(str(comparison.control_of(name)), "transfer_fgsm")
        if len(wrong) and wrong.shape == other.shape:
            images = comparison.counted(name, "transfer_fgsm")
            difference = paired(comparison, wrong, other, drawn=False, images=images)
            better &= difference.high < 0
            worse |= difference.low >= 0
            words.append(
                f"{name} recovers {small_percent(1 - wrong.mean())}, the control "
                f"{small_percent(1 - other.mean())} of {len(wrong)}: {with_p_value(difference)}"
            )
    if not words:
        return missing("FGSM examples of the original against a control")
    reason = "paired against the control: any other network recovers some"
    return Answer(status(better, worse), "; ".join(words), reason)


def boundary(comparison: Comparison) -> Answer:
    """Whether the images lie further from the boundary of hardened models, beyond the control."""
    names = _hardened(comparison)
    table = comparison.boundary.set_index("model")
    names = [name for name in names if name in table.index]
    if not names:
        return missing("the distance to the boundary")
    words, further, nearer = [], True, False
    for name in names:
        row = table.loc[name]
        control = str(comparison.control_of(name))
        gap = comparison.distances(name) - comparison.distances(control)
        gap = gap[np.isfinite(gap)]
        compare = comparison.params.compare
        groups = comparison.groups(list(gap.index))
        units = gap.to_numpy() if groups is None else totals(gap.to_numpy(), groups)
        p = sign_flip_p_value(units, compare.resamples, compare.seed)
        for mean, chance in (
            (row["difference_to_baseline"], row["p_value"]),
            (gap.mean(), p),
        ):
            further &= bool(mean > 0 and chance < 0.05)
            nearer |= bool(mean < 0 and chance < 0.05)
        words.append(
            f"{name}: median {row['median']:.3g}, mean {row['difference_to_baseline']:+.3g} "
            f"against its original (p = {p_value(row['p_value'])}), {gap.mean():+.3g} against the "
            f"control (p = {p_value(p)})"
        )
    reason = (
        "first-order distance, paired by image, sign flips: further than under the original and "
        "under the control; what the control shows as well is not the merit of changed pixels"
    )
    return Answer(status(further, nearer), "; ".join(words), reason)


def augmentation(comparison: Comparison) -> Answer:
    """Whether arms with ordinary augmentation err as often as the control: an equivalence test."""
    names = [
        name
        for name, arm in comparison.params.finetune.arms.items()
        if arm.augment != "none" and not arm.n and comparison.control_of(name)
    ]
    if not names:
        return missing("an arm of ordinary augmentation")
    words, useless, helps = [], True, False
    for name, rate, difference in _against_control(comparison, names):
        useless &= difference.low > -SMALL * rate
        helps |= difference.high <= -SMALL * rate
        words.append(f"{name}: {with_p_value(difference)}")
    reason = (
        "none errs less than the control at the reference point by half of the control's rate or "
        "more: the lower bounds lie above that"
    )
    return Answer(status(useless, helps), "; ".join(words), reason)


def _against_control(
    comparison: Comparison, names: list[str]
) -> Iterator[tuple[str, float, Difference]]:
    """Of each arm its control's rate at the reference point, and its difference to that."""
    for name in names:
        own = comparison.at_reference(name)
        control = comparison.at_reference(str(comparison.control_of(name)))
        yield name, float(control.mean()), paired(comparison, own, control)
