"""The rules of the gate: what a challenger must show, beside the models it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.differences import Difference, paired_difference
from pixelproof.core.statistics.exact import exact_paired_difference
from pixelproof.core.statistics.groups import Groups
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.params.gate import Gate
from pixelproof.params.project import Params
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.gradient_masking import gradient_checks, masked
from pixelproof.reporting.results import results
from pixelproof.reporting.rows import groups_of, key_of, rows_of
from pixelproof.reporting.tradeoff import (
    accuracy_difference,
    attack_difference,
    attacked_images,
    gated_settings,
)
from pixelproof.reporting.wording import bounds, interval
from pixelproof.reporting.wording import margin as allowed

MOST_RESAMPLES = 1_000_000
CALLED = {"first": "first champion"}  # in words


@dataclass(frozen=True)
class Rule:
    """A condition of the gate.

    Attributes:
        name: A short one.
        words: The condition, with the figures that decided it.
        holds: Whether it does.
        figures: Those figures; shares, not percent.
    """

    name: str
    words: str
    holds: bool
    figures: Mapping[str, float]


def at_reference(ledger: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The rows of a ledger at the reference point."""
    point = params.compare.reference
    return rows_of(ledger, point.experiment, n=point.n)


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.1f} points {bounds(100 * low, 100 * high, 1, '+')}"


def accuracy_kept(ledgers: Mapping[str, pd.DataFrame], other: str, gate: Gate) -> Rule:
    """The clean accuracy is not inferior, on every held-out image (one-sided, paired)."""
    gap = accuracy_difference(ledgers["challenger"], ledgers[other])
    points = _points(gap["difference"], gap["low"], gap["high"])
    words = (
        f"clean accuracy at most {allowed(gate.accuracy_margin)} below the "
        f"{CALLED.get(other, other)}'s: {points} on {gap['images']} images"
    )
    return Rule(f"clean_accuracy_{other}", words, gap["low"] > -gate.accuracy_margin, gap)


def more_robust(
    ledgers: Mapping[str, pd.DataFrame],
    other: str,
    common: list[str],
    params: Params,
    level: float,
) -> Rule:
    """Pi is better at the reference point, by image: both the interval and the test say so."""
    theirs, own = (
        wrong_by_image(at_reference(ledgers[name], params), common)
        for name in (other, "challenger")
    )
    gap = better_by(theirs, own, params, level, groups_of(ledgers["challenger"], common))
    point, grid = params.compare.reference, params.reference_grid
    # Pi is linear in the error rate, so that a difference of rates is one of Pi's.
    factor = pixel_index(1.0, point.n, params.select.side, grid.values, grid.area)
    pi = [factor * bound for bound in (gap.value, gap.low, gap.high)]
    words = (
        f"Pi below the {other}'s: by {interval(*pi)}, that is "
        f"{_points(gap.value, gap.low, gap.high)} of errors, at {100 * (1 - level):.4g} % "
        f"confidence, p = {gap.p_value:.2g}"
    )
    figures = {**gap._asdict(), "pi": pi[0], "pi_low": pi[1], "pi_high": pi[2], "level": level}
    return Rule(f"pi_{other}", words, gap.low > 0 and gap.p_value <= level, figures)


def better_by(
    other: npt.NDArray[np.bool_],
    challenger: npt.NDArray[np.bool_],
    params: Params,
    level: float,
    groups: Groups = None,
) -> Difference:
    """How much less often the challenger is wrong, tested at a level that may be far below 5 %.

    Args:
        other: (images, draws) of which the other model gets wrong.
        challenger: (images, draws) of the challenger.
        params: Whether the images share their positions: then the draws are resampled, too, and
            resamples must be drawn, enough for the level as far as that is possible.
        level: Two-sided.
        groups: Of the images.
    """
    if params.generate.positions != "shared":
        return exact_paired_difference(other, challenger, 1 - level, groups)
    compare = params.compare
    needed = min(MOST_RESAMPLES, max(compare.resamples, round(20 / level)))
    return paired_difference(
        other,
        challenger,
        resamples=needed,
        seed=compare.seed,
        by_draw=True,
        confidence=1 - level,
        groups=groups,
    )


def attacks_resisted(
    ledgers: Mapping[str, pd.DataFrame], other: str, common: list[str], gate: Gate
) -> list[Rule]:
    """Attacks on the models themselves fool the challenger no more often (one-sided, paired)."""
    rules, pair = [], [ledgers["challenger"], ledgers[other]]
    ending = "" if other == "champion" else f"_{other}"
    for setting in gated_settings(ledgers["challenger"]):
        images = attacked_images(pair, common, setting)
        figures = attack_difference(pair, images, setting)
        points = _points(figures["difference"], figures["low"], figures["high"])
        most = f"at most {allowed(gate.attack_margin)} above the {CALLED.get(other, other)}'s"
        found_on = f"{points} on {len(images)} images"
        strength = [f"{key} {value}" for key, value in setting.items() if key != "experiment"]
        words = f"{setting['experiment']} ({', '.join(strength)}) {most}: {found_on}"
        holds = figures["high"] < gate.attack_margin
        rules.append(Rule(key_of(setting) + ending, words, holds, figures))
    return rules


def gradients_there(ledgers: Mapping[str, pd.DataFrame], common: list[str], params: Params) -> Rule:
    """No check indicates that the challenger only hides its gradient from attacks."""
    table = results(ledgers, common, params.select.side)
    nowhere = pd.DataFrame()
    checks = gradient_checks(Comparison(params, ledgers, common, table, nowhere, {}))
    reasons = masked(checks, "challenger")
    count = sum(check.model == "challenger" for check in checks)
    words = f"no sign of masked gradients: {'; but not that '.join(reasons) or f'{count} checks'}"
    holds = count > 0 and not reasons
    return Rule("gradients", words, holds, {"checks": count, "failed": len(reasons)})
