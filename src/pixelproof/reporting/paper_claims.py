"""The paper's claims, each put to a test on these images and models."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from pixelproof.core.statistics.differences import (
    Difference,
    holm,
    paired_difference,
    sign_flip_p_value,
)
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.core.statistics.ranks import rank_intervals
from pixelproof.reporting.comparison import Comparison

Status = Literal["reproduced", "not reproduced", "not comparable"]
Rates = npt.NDArray[Any]
SMALL = 0.5  # a difference within this share of the whole image's error rate is "little"
MARGIN = 0.02  # of clean accuracy, within which it is "kept"


@dataclass(frozen=True)
class Claim:
    """What the paper says, what was found here, and how the two compare.

    Attributes:
        words: The claim.
        paper: Its own figures, and where they stand.
        status: Reproduced where the test says so at 5 %; not reproduced where it does not.
        found: The figures here, with 95 % intervals.
        reason: The test, or why there is none.
    """

    words: str
    paper: str
    status: Status
    found: str
    reason: str


def claims(comparison: Comparison) -> list[Claim]:
    """Each claim of the paper, in its order."""
    tests: list[tuple[str, str, Callable[[Comparison], tuple[Status, str, str]]]] = [
        (
            "Errors grow with the number of changed pixels",
            "Table 6: ResNet 0.82 % at n = 4, 4.16 % at 64",
            _number,
        ),
        (
            "Errors grow with the magnitude of the change",
            "Table 7: 0.24 % at ± 10, 2.22 % at ± 127, n = 64",
            _magnitude,
        ),
        (
            "The area of the changes matters little",
            "Table 8: 2.34 % whole, 2.05 % in 50 × 50, n = 32; but 5.34 % and 2.51 % at n = 64",
            _area,
        ),
        (
            "The magnitude matters more than the position",
            "Section 6.1.4, from Tables 7 and 8",
            _magnitude_or_area,
        ),
        (
            "Pi ranks classifiers as accuracy does",
            "Table 5, whose rates of AlexNet and VGG are swapped",
            _ranking,
        ),
        (
            "Random pixels disarm FGSM examples",
            "Table 9: 33.0 % come back at n = 4, 77.4 % at 64",
            _disarming,
        ),
        (
            "Retraining helps at every n",
            "Table 10: 2.2 to 5.5 % on the training images, no control",
            _retraining,
        ),
        (
            "Arms with few changed pixels beat arms with many",
            "Table 10 at n = 64: 2.7 % (4 pixels), 5.5 % (64)",
            _few_or_many,
        ),
        ("Clean accuracy is kept", "Section 6.2, without a figure", _clean_accuracy),
        ("Retraining recovers FGSM examples", "Table 11: 75.1 %, no control", _recovery),
        (
            "Retraining moves the decision boundary away, r' > r",
            "Equation 6, without a measurement",
            _boundary,
        ),
        ("Ordinary augmentation does not help", "Section 4, without a measurement", _augmentation),
    ]
    found = []
    for words, paper, test in tests:
        status, figures, reason = test(comparison)
        found.append(Claim(words, paper, status, figures, reason))
    return found


def percent(rate: float) -> str:
    """A rate in percent, with two digits where it is small."""
    return f"{100 * rate:.2f} %" if abs(rate) < 0.1 else f"{100 * rate:.1f} %"


def points(found: Difference) -> str:
    """A difference of rates in points, with its interval and p-value."""
    bounds = f"[{100 * found.low:+.2f}, {100 * found.high:+.2f}]"
    return f"{100 * found.value:+.2f} points {bounds}, p = {found.p_value:.2g}"


def _paired(comparison: Comparison, wrong: Rates, other: Rates) -> Difference:
    compare = comparison.params.compare
    shared = comparison.params.generate.positions == "shared"
    return paired_difference(
        wrong, other, resamples=compare.resamples, seed=compare.seed, by_draw=shared
    )


def _status(holds: bool) -> Status:
    return "reproduced" if holds else "not reproduced"


def _missing(what: str) -> tuple[Status, str, str]:
    return "not comparable", "", f"not measured here: {what}"


def _nothing_flips() -> tuple[Status, str, str]:
    return "not comparable", "", "no prediction flips, so there is no rate to compare with"


def _original(comparison: Comparison) -> str:
    """The original that the control belongs to, or the first."""
    control = comparison.params.compare.control
    arms = comparison.params.finetune.arms
    return arms[control].baseline if control in arms else next(iter(comparison.params.baselines))


def _number(comparison: Comparison) -> tuple[Status, str, str]:
    model = _original(comparison)
    counts = comparison.levels("pixels", "n") or comparison.levels("stuck", "n")
    experiment = "pixels" if comparison.levels("pixels", "n") else "stuck"
    if len(counts) < 2:
        return _missing("more than one number of pixels")
    rates = [comparison.wrong(model, experiment, n=n) for n in counts]
    if not any(one.any() for one in rates):
        return _nothing_flips()
    found = _paired(comparison, rates[-1], rates[0])
    steps = ", ".join(f"{percent(one.mean())} at {n}" for n, one in zip(counts, rates, strict=True))
    reason = f"paired by image and draw: n = {counts[-1]} minus n = {counts[0]}"
    return _status(found.low > 0), f"{model}: {steps}; {points(found)}", reason


def _extremes(comparison: Comparison, experiment: str) -> tuple[list[Any], list[Rates]] | None:
    """The levels of magnitude or area and what is wrong at each, at the largest n."""
    model = _original(comparison)
    counts = comparison.levels(experiment, "n", model)
    column = "values" if experiment == "magnitude" else "area"
    levels = comparison.levels(experiment, column, model)
    if not counts or len(levels) < 2:
        return None
    if column == "values":
        levels = sorted(levels, key=lambda one: int(str(one).split(":")[1]))
    n = counts[-1]
    return levels, [comparison.wrong(model, experiment, n=n, **{column: one}) for one in levels]


def _magnitude(comparison: Comparison) -> tuple[Status, str, str]:
    measured = _extremes(comparison, "magnitude")
    if measured is None:
        return _missing("the magnitude")
    levels, rates = measured
    if not any(one.any() for one in rates):
        return _nothing_flips()
    found = _paired(comparison, rates[-1], rates[0])
    first, last = (str(one).replace("offset:", "± ") for one in (levels[0], levels[-1]))
    ends = f"{percent(rates[0].mean())} at {first}, {percent(rates[-1].mean())} at {last}"
    return _status(found.low > 0), f"{ends}; {points(found)}", "paired by image and draw"


def _area(comparison: Comparison) -> tuple[Status, str, str]:
    measured = _extremes(comparison, "area")
    if measured is None:
        return _missing("the area")
    levels, rates = measured
    if not rates[-1].any():
        return _nothing_flips()
    found = _paired(comparison, rates[0], rates[-1])
    limit = SMALL * float(rates[-1].mean())
    box = f"{levels[0]} × {levels[0]}"
    ends = f"{percent(rates[-1].mean())} whole, {percent(rates[0].mean())} in {box}"
    reason = (
        f"little: the interval of the paired difference lies within ± {100 * limit:.2f} points, "
        "half of the whole image's rate"
    )
    return _status(-limit < found.low and found.high < limit), f"{ends}; {points(found)}", reason


def _magnitude_or_area(comparison: Comparison) -> tuple[Status, str, str]:
    magnitude, area = _extremes(comparison, "magnitude"), _extremes(comparison, "area")
    if magnitude is None or area is None:
        return _missing("magnitude or area")
    if not any(one.any() for one in (*magnitude[1], *area[1])):
        return _nothing_flips()
    by_magnitude = magnitude[1][-1].astype(float) - magnitude[1][0]
    by_area = area[1][-1].astype(float) - area[1][0]
    sign = 1 if by_area.mean() >= 0 else -1
    found = _paired(comparison, by_magnitude, sign * by_area)
    words = f"the effect of magnitude minus that of area: {points(found)}"
    return _status(found.low > 0), words, "difference of the two paired differences, by image"


def _ranking(comparison: Comparison) -> tuple[Status, str, str]:
    originals = list(comparison.params.baselines)
    if len(originals) < 3:
        return "not comparable", "", "a ranking needs three originals; these are hardened from one"
    wrong = {model: comparison.at_reference(model) for model in originals}
    compare = comparison.params.compare
    ranks = rank_intervals(wrong, resamples=compare.resamples, seed=compare.seed)
    entries = comparison.summary["models"]
    accuracy = [entries[model]["clean_accuracy"]["value"] for model in originals]
    pi = [entries[model]["pi"]["value"] for model in originals]
    tau, _ = stats.kendalltau(pi, [-one for one in accuracy])
    words = ", ".join(
        f"{model} {ranks[model].value:.0f} [{ranks[model].low:.0f}, {ranks[model].high:.0f}]"
        for model in sorted(originals, key=lambda one: ranks[one].value)
    )
    certain = all(one.low == one.high for one in ranks.values())
    reason = "same order, and every rank by Pi certain (bootstrap by image)"
    return (
        _status(bool(tau == 1 and certain)),
        f"rank by Pi: {words}; Kendall's tau {tau:.2f}",
        reason,
    )


def _disarming(comparison: Comparison) -> tuple[Status, str, str]:
    model = _original(comparison)
    counts = comparison.levels("adversarial_pixels", "n", model)
    if not counts:
        return _missing("the change of FGSM examples")
    n = counts[-1]
    still = comparison.wrong(model, "adversarial_pixels", n=n)
    back = rate_interval(~still)
    bounds = f"[{percent(back.low)}, {percent(back.high)}]"
    words = f"{percent(back.value)} {bounds} of {len(still)} come back at n = {n}"
    if n not in comparison.levels("pixels", "n", model):
        return "not comparable", words, f"unchanged images were not tried at n = {n}"
    lost = rate_interval(comparison.wrong(model, "pixels", n=n))
    words += f"; the same change loses {percent(lost.value)} of the unchanged images"
    reason = "more come back than are lost: the two intervals do not meet. No defence was needed"
    return _status(back.low > lost.high), words, reason


def _hardened(comparison: Comparison) -> list[str]:
    arms = comparison.params.finetune.arms
    return [name for name, arm in arms.items() if arm.n and comparison.control_of(name)]


def _retraining(comparison: Comparison) -> tuple[Status, str, str]:
    names = _hardened(comparison)
    if not names:
        return "not comparable", "", "no hardened arm, or no control arm beside it"
    cases, found = [], []
    for name in names:
        control = comparison.control_of(name)
        for experiment in ("pixels", "stuck"):
            for n in comparison.levels(experiment, "n"):
                one = comparison.wrong(name, experiment, n=n)
                other = comparison.wrong(str(control), experiment, n=n)
                cases.append(f"{name} at {n} {experiment}")
                found.append(_paired(comparison, one, other))
    adjusted = holm([one.p_value for one in found])
    fails = [
        case
        for case, one, p in zip(cases, found, adjusted, strict=True)
        if not (one.value < 0 and p < 0.05)
    ]
    words = f"better than the control in {len(cases) - len(fails)} of {len(cases)} settings"
    if fails:
        words += f"; not in {', '.join(fails[:6])}" + (" …" if len(fails) > 6 else "")
    return _status(not fails), words, "paired against the control arm, sign flips by image, Holm"


def _few_or_many(comparison: Comparison) -> tuple[Status, str, str]:
    arms = comparison.params.finetune.arms
    by_values: dict[str, list[str]] = {}
    for name in _hardened(comparison):
        by_values.setdefault(arms[name].values, []).append(name)
    for names in by_values.values():
        ordered = sorted(names, key=lambda name: arms[name].n)
        if arms[ordered[0]].n < arms[ordered[-1]].n:
            few, many = ordered[0], ordered[-1]
            found = _paired(comparison, comparison.at_reference(few), comparison.at_reference(many))
            words = f"{few} minus {many}: {points(found)}"
            return _status(found.high < 0), words, "at the reference point, paired by image"
    return _missing("two arms that differ in n alone")


def _clean_accuracy(comparison: Comparison) -> tuple[Status, str, str]:
    names = [name for name, arm in comparison.params.finetune.arms.items() if arm.n]
    if not names:
        return "not comparable", "", "no hardened arm"
    words, kept = [], True
    for name in names:
        right = ~comparison.wrong(name, "clean")
        before = ~comparison.wrong(comparison.params.origin(name), "clean")
        found = _paired(comparison, right, before)
        kept &= found.low > -MARGIN
        rates = f"{percent(before.mean())} to {percent(right.mean())}"
        words.append(f"{name}: {rates}, {points(found)}")
    limit = f"lower bound above −{100 * MARGIN:.0f} points"
    reason = f"accuracy on all held-out images minus the original's: {limit}"
    return _status(kept), "; ".join(words), reason


def _recovery(comparison: Comparison) -> tuple[Status, str, str]:
    words, better = [], True
    for name in _hardened(comparison):
        one = comparison.wrong(name, "transfer_fgsm")
        other = comparison.wrong(str(comparison.control_of(name)), "transfer_fgsm")
        if len(one) and one.shape == other.shape:
            found = _paired(comparison, one, other)
            better &= found.high < 0
            words.append(
                f"{name} recovers {percent(1 - one.mean())}, the control "
                f"{percent(1 - other.mean())} of {len(one)}: {points(found)}"
            )
    if not words:
        return _missing("FGSM examples of the original against a control")
    reason = "paired against the control: any other network recovers some"
    return _status(better), "; ".join(words), reason


def _boundary(comparison: Comparison) -> tuple[Status, str, str]:
    names = _hardened(comparison)
    table = comparison.boundary.set_index("model")
    names = [name for name in names if name in table.index]
    if not names:
        return _missing("the distance to the boundary")
    words, further = [], True
    for name in names:
        one = table.loc[name]
        control = str(comparison.control_of(name))
        further &= one["difference_to_baseline"] > 0 and one["p_value"] < 0.05
        gap = comparison.distances(name) - comparison.distances(control)
        gap = gap[np.isfinite(gap)]
        compare = comparison.params.compare
        p = sign_flip_p_value(gap.to_numpy(), compare.resamples, compare.seed)
        words.append(
            f"{name}: median {one['median']:.3g}, mean {one['difference_to_baseline']:+.3g} "
            f"against its original (p = {one['p_value']:.2g}), {gap.mean():+.3g} against the "
            f"control (p = {p:.2g})"
        )
    reason = (
        "first-order distance, paired by image with the original, sign flips; what the control "
        "shows as well is not the merit of changed pixels"
    )
    return _status(further), "; ".join(words), reason


def _augmentation(comparison: Comparison) -> tuple[Status, str, str]:
    names = [
        name
        for name, arm in comparison.params.finetune.arms.items()
        if arm.augment != "none" and not arm.n and comparison.control_of(name)
    ]
    if not names:
        return _missing("an arm of ordinary augmentation")
    words, helps = [], []
    for name, found in _against_control(comparison, names):
        helps.append(found.high < 0)
        words.append(f"{name}: {points(found)}")
    reason = "none of them errs less than the control at the reference point"
    return _status(not any(helps)), "; ".join(words), reason


def _against_control(comparison: Comparison, names: list[str]) -> Iterator[tuple[str, Difference]]:
    for name in names:
        control = str(comparison.control_of(name))
        pair = comparison.at_reference(name), comparison.at_reference(control)
        yield name, _paired(comparison, *pair)
