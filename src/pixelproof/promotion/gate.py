"""The gate: whether a challenger may replace the champion, decided from three ledgers.

All rules must hold at once, so that no level needs to be adjusted for their number. It is adjusted
for the number of challengers that were judged on the same images; see `level`.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.errors import DataError
from pixelproof.evaluation.ledger import wrong_by_image
from pixelproof.params.gate import Gate
from pixelproof.params.project import Params
from pixelproof.promotion.level import Look, least_level
from pixelproof.promotion.rules import (
    Rule,
    accuracy_kept,
    at_reference,
    attacks_resisted,
    gradients_there,
    more_robust,
)
from pixelproof.reporting.experiments import described, required
from pixelproof.reporting.results import clean_figures
from pixelproof.reporting.rows import common_images, groups_of, rows_of
from pixelproof.reporting.tradeoff import attacked_images, gated_settings, tellable
from pixelproof.reporting.wording import margin as allowed

Outcome = Literal["PASSED", "REJECTED", "NOT ENOUGH EVIDENCE"]
FIRST_LOOK = Look()
_COMPARED = ("challenger", "champion", "control")


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
    look: Look = FIRST_LOOK,
    first: pd.DataFrame | None = None,
) -> Verdict:
    """Judge a challenger by the ledgers of three models, of the same images and draws.

    Args:
        challenger: The hardened model's ledger.
        champion: That of the model in use.
        control: That of the same fine-tuning on unchanged images.
        params: Its section `gate`, the reference point, and how differences are tested.
        unknown: Which of the three may have seen images that nobody has declared.
        look: Which one at these images; the more there were, the more a challenger must show.
        first: That of the champion with which the gate's own promotions began, where it is another
            than the champion: a row of promotions must not wear down what it had.

    Returns:
        The verdict; the same ledgers and parameters give the same one.

    Raises:
        DataError: The ledgers are not of the same images, or `params` has no gate.
    """
    gate = params.gate
    if gate is None:
        raise DataError("expected a section gate in params.yaml, got none")
    ledgers = dict(zip(_COMPARED, (challenger, champion, control), strict=True))
    met = ledgers if first is None else {**ledgers, "first": first}
    _check_images(met)
    try:
        common = common_images(ledgers)
    except DataError:
        common = []
    evidence = [
        *_evidence(met, common, params, gate),
        _all_seen_known(unknown, gate),
        worth_a_look(look, gate),
        *_parts_enough(challenger, common, look),
    ]
    if not all(rule.holds for rule in evidence):
        unseen = len(rows_of(champion, "clean"))
        known = _figures(ledgers, [], params) if unseen else {}
        return Verdict("NOT ENOUGH EVIDENCE", tuple(evidence), (), known)
    rules = _rules(met, common, params, gate, look)
    outcome: Outcome = "PASSED" if all(rule.holds for rule in rules) else "REJECTED"
    return Verdict(outcome, tuple(evidence), tuple(rules), _figures(ledgers, common, params))


def _rules(
    met: Mapping[str, pd.DataFrame], common: list[str], params: Params, gate: Gate, look: Look
) -> list[Rule]:
    """What the challenger must show beside each of the others.

    Not beside the champion alone: else each promotion could cost the whole margin.
    """
    three = {name: met[name] for name in _COMPARED}
    anchors = [name for name in met if name != "challenger"]
    return [
        *(accuracy_kept(met, other, gate) for other in anchors),
        more_robust(three, "champion", common, params, look.level),
        more_robust(three, "control", common, params, look.level),
        *(rule for other in anchors for rule in attacks_resisted(met, other, common, gate)),
        gradients_there(three, common, params),
    ]


def _check_images(ledgers: Mapping[str, pd.DataFrame]) -> None:
    held = {name: set(rows_of(ledger, "clean")["image"]) for name, ledger in ledgers.items()}
    for name, images in held.items():
        missing = len(held["champion"] ^ images)
        if missing:
            raise DataError(
                f"expected the images of the champion's ledger in that of the {name}, got "
                f"{missing} others; measure them together"
            )


def _evidence(
    ledgers: Mapping[str, pd.DataFrame], common: list[str], params: Params, gate: Gate
) -> list[Rule]:
    """What must have been measured before anything is decided."""
    draws = min(at_reference(ledger, params)["draw"].nunique() for ledger in ledgers.values())
    # Distances may be infinite, where the gradient is zero; another rule covers that.
    numbers = [
        ledger.loc[ledger["experiment"].map(lambda name: described(name).errors), "margin"]
        for ledger in ledgers.values()
    ]
    odd = sum(int((~np.isfinite(margins.to_numpy(dtype=float))).sum()) for margins in numbers)
    held = rows_of(ledgers["champion"], "clean")["image"].nunique()
    settings = gated_settings(ledgers["challenger"])
    pairs = [(ledgers["challenger"], ledgers[name]) for name in ledgers if name != "challenger"]
    taken = [len(attacked_images(pair, common, each)) for pair in pairs for each in settings]
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


def _parts_enough(ledger: pd.DataFrame, common: list[str], look: Look) -> list[Rule]:
    """Where images are grouped: so many parts that their signs can show a difference at all."""
    groups = groups_of(ledger, common)
    if groups is None:
        return []
    parts = int(groups.max()) + 1
    words = f"parts enough to show a difference at a level of {look.level:.2g}: {parts}"
    return [Rule("parts", words, least_level(parts) <= look.level, {"parts": parts})]


def worth_a_look(look: Look, gate: Gate) -> Rule:
    """Enough level is left to notice a challenger that is better; else a look is only spent."""
    figures = {"number": look.number, "level": look.level}
    words = f"power enough for {look.words}"
    if look.power is None:
        return Rule("look", words, True, figures)
    holds = look.power >= gate.power
    words += f"; gate.power asks for {100 * gate.power:g} %"
    if not holds:
        words += ", and new held-out images give level back"
    return Rule("look", words, holds, {**figures, "power": look.power})


def _tellable(name: str, margin: float, images: int) -> Rule:
    """There are enough images to exclude a difference of the margin where none is observed."""
    bound = tellable(images)
    words = f"images enough to tell gate.{name}, {allowed(margin)}: {images}"
    return Rule(name, words, bound < margin, {"images": images, "tellable": bound})


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
    groups = groups_of(ledger, images)
    rate = rate_interval(wrong_by_image(at_reference(ledger, params), images), groups=groups)
    point, grid = params.compare.reference, params.reference_grid
    side = params.select.side
    pi = [pixel_index(bound, point.n, side, grid.values, grid.area) for bound in rate]
    named = dict(zip(("value", "low", "high"), pi, strict=True))
    return {**known, "error_rate": rate._asdict(), "pi": named, "images": len(images)}
