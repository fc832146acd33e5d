"""Tests of the paper's claims on changed pixels (Sections 5 and 6.1)."""

from typing import Any

from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.core.statistics.ranks import rank_intervals
from pixelproof.reporting.claim_answers import (
    SMALL,
    Answer,
    Rates,
    above,
    missing,
    not_comparable,
    nothing_flips,
    original,
    paired,
    status,
)
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.wording import interval, small_percent, with_p_value

PAPER_SHARE = 64 / 224**2  # of the pixels, the largest in Table 9


def number(comparison: Comparison) -> Answer:
    """Whether errors grow with the number of changed pixels."""
    model = original(comparison)
    counts = comparison.levels("pixels", "n") or comparison.levels("stuck", "n")
    experiment = "pixels" if comparison.levels("pixels", "n") else "stuck"
    if len(counts) < 2:
        return missing("more than one number of pixels")
    rates = [comparison.wrong(model, experiment, n=n) for n in counts]
    if not any(wrong.any() for wrong in rates):
        return nothing_flips()
    gap = paired(comparison, rates[-1], rates[0])
    steps = ", ".join(
        f"{small_percent(wrong.mean())} at {n}" for n, wrong in zip(counts, rates, strict=True)
    )
    reason = f"paired by image and draw: n = {counts[-1]} minus n = {counts[0]}"
    return Answer(above(gap), f"{model}: {steps}; {with_p_value(gap)}", reason)


def _extremes(comparison: Comparison, experiment: str) -> tuple[list[Any], list[Rates]] | None:
    """The levels of magnitude or area and what is wrong at each, at the largest n."""
    model = original(comparison)
    counts = comparison.levels(experiment, "n", model)
    column = "values" if experiment == "magnitude" else "area"
    levels = comparison.levels(experiment, column, model)
    if not counts or len(levels) < 2:
        return None
    if column == "values":
        levels = sorted(levels, key=lambda values: int(str(values).split(":")[1]))
    n = counts[-1]
    return levels, [comparison.wrong(model, experiment, n=n, **{column: level}) for level in levels]


def magnitude(comparison: Comparison) -> Answer:
    """Whether errors grow with the magnitude of the change."""
    measured = _extremes(comparison, "magnitude")
    if measured is None:
        return missing("the magnitude")
    levels, rates = measured
    if not any(wrong.any() for wrong in rates):
        return nothing_flips()
    gap = paired(comparison, rates[-1], rates[0])
    first, last = (str(level).replace("offset:", "± ") for level in (levels[0], levels[-1]))
    ends = (
        f"{small_percent(rates[0].mean())} at {first}, {small_percent(rates[-1].mean())} at {last}"
    )
    return Answer(above(gap), f"{ends}; {with_p_value(gap)}", "paired by image and draw")


def area(comparison: Comparison) -> Answer:
    """Whether the area of the changes matters little: an equivalence test."""
    measured = _extremes(comparison, "area")
    if measured is None:
        return missing("the area")
    levels, rates = measured
    if not rates[-1].any():
        return nothing_flips()
    gap = paired(comparison, rates[0], rates[-1])
    limit = SMALL * float(rates[-1].mean())
    box = f"{levels[0]} × {levels[0]}"
    ends = f"{small_percent(rates[-1].mean())} whole, {small_percent(rates[0].mean())} in {box}"
    reason = (
        f"little: the interval of the paired difference lies within ± {100 * limit:.2f} points, "
        "half of the whole image's rate"
    )
    return Answer(
        status(
            -limit < gap.low and gap.high < limit,
            gap.high <= -limit or gap.low >= limit,
        ),
        f"{ends}; {with_p_value(gap)}",
        reason,
    )


def magnitude_or_area(comparison: Comparison) -> Answer:
    """Whether the effect of the magnitude exceeds that of the area."""
    magnitude, area = _extremes(comparison, "magnitude"), _extremes(comparison, "area")
    if magnitude is None or area is None:
        return missing("magnitude or area")
    if not any(wrong.any() for wrong in (*magnitude[1], *area[1])):
        return nothing_flips()
    by_magnitude = magnitude[1][-1].astype(float) - magnitude[1][0]
    by_area = area[1][-1].astype(float) - area[1][0]
    sign = 1 if by_area.mean() >= 0 else -1
    gap = paired(comparison, by_magnitude, sign * by_area)
    words = f"the effect of magnitude minus that of area: {with_p_value(gap)}"
    return Answer(above(gap), words, "difference of the two paired differences, by image")


def ranking(comparison: Comparison) -> Answer:
    """Whether Pi and clean accuracy put the originals in the same order."""
    from scipy import stats  # slow to import, and rarely needed

    originals = list(comparison.params.baselines)
    if len(originals) < 3:
        return not_comparable("a ranking needs three originals; these are hardened from one")
    wrong = {model: comparison.at_reference(model) for model in originals}
    compare = comparison.params.compare
    ranks = rank_intervals(
        wrong, resamples=compare.resamples, seed=compare.seed, groups=comparison.groups()
    )
    entries = comparison.summary["models"]
    accuracy = [entries[model]["clean_accuracy"]["value"] for model in originals]
    pi = [entries[model]["pi"]["value"] for model in originals]
    tau, _ = stats.kendalltau(pi, [-share for share in accuracy])
    words = ", ".join(
        f"{model} {interval(*ranks[model], digits=0)}"
        for model in sorted(originals, key=lambda name: ranks[name].value)
    )
    certain = all(rank.low == rank.high for rank in ranks.values())
    reason = "same order, and every rank by Pi certain (bootstrap)"
    words = f"rank by Pi: {words}; Kendall's tau {tau:.2f}"
    return Answer(status(bool(tau == 1 and certain), bool(tau < 1 and certain)), words, reason)


def disarming(comparison: Comparison) -> Answer:
    """Whether changed pixels return more FGSM examples than they cost unchanged images.

    It is asked at the largest n, and at the n nearest to the paper's largest share of pixels.
    """
    model = original(comparison)
    counts = comparison.levels("adversarial_pixels", "n", model)
    if not counts:
        return missing("the change of FGSM examples")
    share = PAPER_SHARE * comparison.params.select.side**2
    words, holds, fails = [], True, False
    for n in sorted({min(counts, key=lambda count: abs(count - share)), counts[-1]}):
        still = comparison.wrong(model, "adversarial_pixels", n=n)
        images = comparison.counted(model, "adversarial_pixels", n=n)
        back = rate_interval(~still, groups=comparison.groups(images))
        bounds = f"[{small_percent(back.low)}, {small_percent(back.high)}]"
        words.append(f"{small_percent(back.value)} {bounds} of {len(still)} come back at n = {n}")
        if n not in comparison.levels("pixels", "n", model):
            unknown = f"unchanged images were not tried at n = {n}"
            return not_comparable(unknown, "; ".join(words))
        changed = comparison.wrong(model, "pixels", n=n)
        lost = rate_interval(changed, groups=comparison.groups())
        words.append(f"the same change loses {small_percent(lost.value)} of the unchanged images")
        holds &= back.low > lost.high
        fails |= back.high < lost.low
    reason = "more come back than are lost: the two intervals do not meet. No defence was needed"
    return Answer(status(holds, fails), "; ".join(words), reason)
