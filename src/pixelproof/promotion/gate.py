"""The gate: whether a challenger may replace the champion, decided from three ledgers.

All rules must hold at once, so that no level needs to be adjusted for their number.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.differences import Difference, paired_difference
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.errors import DataError
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.params.gate import Gate
from pixelproof.params.project import Params
from pixelproof.reporting.comparison import Comparison
from pixelproof.reporting.experiments import described, required
from pixelproof.reporting.gradient_masking import gradient_checks, masked
from pixelproof.reporting.results import clean_figures, results
from pixelproof.reporting.rows import common_images, key_of, rows_of
from pixelproof.reporting.tradeoff import (
    accuracy_difference,
    attack_difference,
    attacked_images,
    gated_settings,
    tellable,
)
from pixelproof.reporting.wording import bounds, interval
from pixelproof.reporting.wording import margin as allowed

Outcome = Literal["PASSED", "REJECTED", "NOT ENOUGH EVIDENCE"]
LEVEL = 0.05
_MET = ("challenger", "champion")


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


@dataclass(frozen=True)
class Verdict:
    """The decision of the gate.

    Attributes:
        outcome: PASSED where all rules hold; NOT ENOUGH EVIDENCE where too little was measured
            to apply them; else REJECTED.
        evidence: What must be there to decide anything.
        rules: What the challenger must show; empty without enough evidence.
        models: The figures of challenger, champion and control.
    """

    outcome: Outcome
    evidence: tuple[Rule, ...]
    rules: tuple[Rule, ...]
    models: Mapping[str, Mapping[str, Any]]

    @property
    def reasons(self) -> str:
        """What does not hold; empty where all does."""
        return "; ".join(rule.words for rule in (*self.evidence, *self.rules) if not rule.holds)

    def content(self) -> dict[str, Any]:
        """The verdict as it is stored in JSON."""
        return dataclasses.asdict(self)


def decide(
    challenger: pd.DataFrame,
    champion: pd.DataFrame,
    control: pd.DataFrame,
    params: Params,
    unknown: Collection[str] = (),
) -> Verdict:
    """Judge a challenger by the ledgers of three models, of the same images and draws.

    Args:
        challenger: The hardened model's ledger.
        champion: That of the model in use.
        control: That of the same fine-tuning on unchanged images.
        params: Its section `gate`, the reference point, and how differences are tested.
        unknown: Which of the three may have seen images that nobody has declared.

    Returns:
        The verdict; the same ledgers and parameters give the same one.

    Raises:
        DataError: The ledgers are not of the same images, or `params` has no gate.
    """
    gate = params.gate
    if gate is None:
        raise DataError("expected a section gate in params.yaml, got none")
    ledgers = {"challenger": challenger, "champion": champion, "control": control}
    _check_images(ledgers)
    try:
        common = common_images(ledgers)
    except DataError:
        common = []
    evidence = [*_evidence(ledgers, common, params, gate), _all_seen_known(unknown, gate)]
    if not all(rule.holds for rule in evidence):
        unseen = len(rows_of(champion, "clean"))
        known = _figures(ledgers, [], params) if unseen else {}
        return Verdict("NOT ENOUGH EVIDENCE", tuple(evidence), (), known)
    rules = [
        _accuracy(ledgers, "champion", gate),
        _accuracy(ledgers, "control", gate),  # else each promotion could cost the whole margin
        _more_robust(ledgers, "champion", common, params),
        _more_robust(ledgers, "control", common, params),
        *_attacks(ledgers, common, gate),
        _gradients(ledgers, common, params),
    ]
    outcome: Outcome = "PASSED" if all(rule.holds for rule in rules) else "REJECTED"
    return Verdict(outcome, tuple(evidence), tuple(rules), _figures(ledgers, common, params))


def _check_images(ledgers: Mapping[str, pd.DataFrame]) -> None:
    held = {name: set(rows_of(ledger, "clean")["image"]) for name, ledger in ledgers.items()}
    for name, images in held.items():
        missing = len(held["champion"] ^ images)
        if missing:
            raise DataError(
                f"expected the images of the champion's ledger in that of the {name}, got "
                f"{missing} others; measure them together"
            )


def _at_reference(ledger: pd.DataFrame, params: Params) -> pd.DataFrame:
    point = params.compare.reference
    return rows_of(ledger, point.experiment, n=point.n)


def _evidence(
    ledgers: Mapping[str, pd.DataFrame], common: list[str], params: Params, gate: Gate
) -> list[Rule]:
    """What must have been measured before anything is decided."""
    draws = min(_at_reference(ledger, params)["draw"].nunique() for ledger in ledgers.values())
    # Distances may be infinite, where the gradient is zero; another rule covers that.
    numbers = [
        ledger.loc[ledger["experiment"].map(lambda name: described(name).errors), "margin"]
        for ledger in ledgers.values()
    ]
    odd = sum(int((~np.isfinite(margins.to_numpy(dtype=float))).sum()) for margins in numbers)
    held = rows_of(ledgers["champion"], "clean")["image"].nunique()
    settings = gated_settings(ledgers["challenger"])
    pair = [ledgers[name] for name in _MET]
    taken = [len(attacked_images(pair, common, setting)) for setting in settings]
    made = {setting["experiment"] for setting in settings} if min(taken, default=0) else set()
    missing = [name for name in required() if name not in made]
    many = f"at least {gate.images} images that all three get right: {len(common)}"
    repeated = f"at least {gate.draws} draws an image: {draws}"
    attacked = (
        f"every required attack on each model itself; missing: {', '.join(missing) or 'none'}"
    )
    return [
        Rule("images", many, len(common) >= gate.images, {"images": len(common)}),
        Rule("draws", repeated, draws >= gate.draws, {"draws": draws}),
        Rule("finite", f"finite margins; not finite: {odd}", odd == 0, {"not_finite": odd}),
        Rule("attacked", attacked, not missing, {"missing": len(missing)}),
        _tellable("accuracy_margin", gate.accuracy_margin, held),
        _tellable("attack_margin", gate.attack_margin, min(taken, default=0)),
    ]


def _all_seen_known(unknown: Collection[str], gate: Gate) -> Rule:
    """No model may have been trained on the images it is judged on, unless a person allows it."""
    words = f"what each model has seen is known; unknown for: {', '.join(unknown) or 'none'}"
    if unknown and gate.unknown_seen:
        words += ", which gate.unknown_seen allows"
    elif unknown:
        words += " (baselines.NAME.seen declares it, gate.unknown_seen: true allows it)"
    return Rule("seen", words, not unknown or gate.unknown_seen, {"unknown": len(unknown)})


def _tellable(name: str, margin: float, images: int) -> Rule:
    """There are enough images to exclude a difference of the margin where none is observed."""
    bound = tellable(images)
    words = f"images enough to tell gate.{name}, {allowed(margin)}: {images}"
    return Rule(name, words, bound < margin, {"images": images, "tellable": bound})


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.1f} points {bounds(100 * low, 100 * high, 1, '+')}"


def _accuracy(ledgers: Mapping[str, pd.DataFrame], other: str, gate: Gate) -> Rule:
    """The clean accuracy is not inferior, on every held-out image (one-sided, paired)."""
    gap = accuracy_difference(ledgers["challenger"], ledgers[other])
    points = _points(gap["difference"], gap["low"], gap["high"])
    words = (
        f"clean accuracy at most {allowed(gate.accuracy_margin)} below the {other}'s: "
        f"{points} on {gap['images']} images"
    )
    return Rule(f"clean_accuracy_{other}", words, gap["low"] > -gate.accuracy_margin, gap)


def _more_robust(
    ledgers: Mapping[str, pd.DataFrame], other: str, common: list[str], params: Params
) -> Rule:
    """Pi is better at the reference point, by image: both the interval and the test say so."""
    pair = [
        wrong_by_image(_at_reference(ledgers[name], params), common)
        for name in (other, "challenger")
    ]
    compare = params.compare
    gap: Difference = paired_difference(
        *pair,
        resamples=compare.resamples,
        seed=compare.seed,
        by_draw=params.generate.positions == "shared",
    )
    point, grid = compare.reference, params.reference_grid
    # Pi is linear in the error rate, so that a difference of rates is one of Pi's.
    factor = pixel_index(1.0, point.n, params.select.side, grid.values, grid.area)
    pi = [factor * bound for bound in (gap.value, gap.low, gap.high)]
    words = (
        f"Pi below the {other}'s: by {interval(*pi)}, that is "
        f"{_points(gap.value, gap.low, gap.high)} of errors, p = {gap.p_value:.4f}"
    )
    figures = {**gap._asdict(), "pi": pi[0], "pi_low": pi[1], "pi_high": pi[2]}
    return Rule(f"pi_{other}", words, gap.low > 0 and gap.p_value <= LEVEL, figures)


def _attacks(ledgers: Mapping[str, pd.DataFrame], common: list[str], gate: Gate) -> list[Rule]:
    """Attacks on the models themselves fool the challenger no more often (one-sided, paired)."""
    rules, pair = [], [ledgers[name] for name in _MET]
    for setting in gated_settings(ledgers["challenger"]):
        images = attacked_images(pair, common, setting)
        figures = attack_difference(pair, images, setting)
        points = _points(figures["difference"], figures["low"], figures["high"])
        most = f"at most {allowed(gate.attack_margin)} above the champion's"
        found_on = f"{points} on {len(images)} images"
        strength = [f"{key} {value}" for key, value in setting.items() if key != "experiment"]
        words = f"{setting['experiment']} ({', '.join(strength)}) {most}: {found_on}"
        holds = figures["high"] < gate.attack_margin
        rules.append(Rule(key_of(setting), words, holds, figures))
    return rules


def _gradients(ledgers: Mapping[str, pd.DataFrame], common: list[str], params: Params) -> Rule:
    """No check indicates that the challenger only hides its gradient from attacks."""
    table = results(ledgers, common, params.select.side)
    nowhere = pd.DataFrame()
    checks = gradient_checks(Comparison(params, ledgers, common, table, nowhere, {}))
    reasons = masked(checks, "challenger")
    count = sum(check.model == "challenger" for check in checks)
    words = f"no sign of masked gradients: {'; but not that '.join(reasons) or f'{count} checks'}"
    holds = count > 0 and not reasons
    return Rule("gradients", words, holds, {"checks": count, "failed": len(reasons)})


def _figures(
    ledgers: Mapping[str, pd.DataFrame], common: list[str], params: Params
) -> dict[str, dict[str, Any]]:
    return {name: figures(ledger, common, params) for name, ledger in ledgers.items()}


def figures(ledger: pd.DataFrame, images: list[str], params: Params) -> dict[str, Any]:
    """The figures of a model: clean accuracy, and error rate and Pi at the reference point.

    Args:
        ledger: Of the model.
        images: On which pixels are changed; without any, clean figures alone.
        params: For the reference point.
    """
    known = clean_figures(ledger)
    if not images:
        return known
    rate = rate_interval(wrong_by_image(_at_reference(ledger, params), images))
    point, grid = params.compare.reference, params.reference_grid
    side = params.select.side
    pi = [pixel_index(bound, point.n, side, grid.values, grid.area) for bound in rate]
    named = dict(zip(("value", "low", "high"), pi, strict=True))
    return {**known, "error_rate": rate._asdict(), "pi": named, "images": len(images)}
