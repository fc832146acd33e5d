"""Whether a model only hides its gradient: attacks fail, and the model is no more robust for it.

The checks are those of Carlini et al. 2019, "On Evaluating Adversarial Robustness", and of Athalye
et al. 2018, "Obfuscated Gradients Give a False Sense of Security", as far as the experiments allow.
A check fails only where its paired 95 % interval excludes it; none has a constant to tune.
"""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pixelproof.core.statistics.differences import paired_difference
from pixelproof.reporting.comparison import Comparison, wrong_by_id
from pixelproof.reporting.experiments import following
from pixelproof.reporting.wording import percent


class Attack(NamedTuple):
    """An attack on a model itself, at one strength."""

    experiment: str
    steps: int
    epsilon: int


@dataclass(frozen=True)
class Check:
    """A check of a model.

    Attributes:
        model: Its name.
        words: What must hold.
        holds: Whether it does.
        found: The figures.
        about: `masking`, or `convergence`: more steps would find more.
    """

    model: str
    words: str
    holds: bool
    found: str
    about: Literal["masking", "convergence"] = "masking"


def gradient_checks(comparison: Comparison) -> list[Check]:
    """All checks that the experiments of each model allow."""
    checks = []
    for model in comparison.ledgers:
        checks += _more_epsilon(comparison, model)
        checks += _more_steps(comparison, model)
        checks += _converged(comparison, model)
        checks += _own_examples_best(comparison, model)
        checks += _gradient_best(comparison, model)
        checks += _gradient_there(comparison, model)
    return checks


def masked(checks: list[Check], model: str) -> list[str]:
    """The failed checks that indicate masked gradients; empty where there are none."""
    failed = [check for check in checks if check.model == model and not check.holds]
    return [check.words for check in failed if check.about == "masking"]


def _compare(
    comparison: Comparison, better: dict[str, bool], worse: dict[str, bool]
) -> tuple[bool, str]:
    """Whether the second attack does not beat the first, on the images that both attacked."""
    images = sorted(set(better) & set(worse))
    if not images:
        return True, "no image in both"
    pair: list[npt.NDArray[Any]] = [
        np.array([[attack[image]] for image in images]) for attack in (better, worse)
    ]
    compare = comparison.params.compare
    difference = paired_difference(*pair, resamples=compare.resamples, seed=compare.seed)
    rates = f"{percent(pair[0].mean())} against {percent(pair[1].mean())}"
    return difference.high >= 0, f"{rates} of {len(images)} images"


def _attacks(comparison: Comparison, model: str, *kinds: str) -> list[Attack]:
    """The attacks on a model itself that follow one of these, from weak to strong."""
    table = comparison.table
    chosen = (table["model"] == model) & table["experiment"].isin(following(*kinds))
    rows = table[chosen].dropna(subset=["steps", "epsilon"])
    rows = rows.sort_values(["experiment", "steps", "epsilon"])
    keys = zip(rows["experiment"], rows["steps"], rows["epsilon"], strict=True)
    return [Attack(str(name), int(steps), int(epsilon)) for name, steps, epsilon in keys]


def _fooled(comparison: Comparison, model: str, attack: Attack) -> dict[str, bool]:
    return wrong_by_id(
        comparison, model, attack.experiment, steps=attack.steps, epsilon=attack.epsilon
    )


def _check(
    comparison: Comparison, model: str, words: str, better: Attack, worse: Attack
) -> tuple[str, str, bool, str]:
    """The fields of a check that a second attack does not beat the first."""
    pair = (_fooled(comparison, model, attack) for attack in (better, worse))
    return model, words, *_compare(comparison, *pair)


def _more_epsilon(comparison: Comparison, model: str) -> list[Check]:
    checks = []
    for weak, strong in pairwise(_attacks(comparison, model, "steps")):
        if (weak.experiment, weak.steps) == (strong.experiment, strong.steps):
            words = (
                f"epsilon {strong.epsilon} fools no fewer than {weak.epsilon}, in {weak.steps} "
                "steps"
            )
            checks.append(Check(*_check(comparison, model, words, strong, weak)))
    return checks


def _more_steps(comparison: Comparison, model: str) -> list[Check]:
    """More steps must not fool fewer: of one attack, and of any against a single step."""
    attacks, single = _attacks(comparison, model, "step", "steps"), following("step")
    checks = []
    for few, many in product(attacks, attacks):
        same = few.experiment == many.experiment or few.experiment in single
        if same and few.epsilon == many.epsilon and few.steps < many.steps:
            words = f"{many.steps} steps fool no fewer than {few.steps}, at epsilon {few.epsilon}"
            checks.append(Check(*_check(comparison, model, words, many, few)))
    return checks


def _converged(comparison: Comparison, model: str) -> list[Check]:
    """More steps of the same attack must change nothing."""
    attacks = _attacks(comparison, model, "steps")
    checks = []
    for few, many in product(attacks, attacks):
        same = few.experiment == many.experiment and few.epsilon == many.epsilon
        if same and few.steps < many.steps:
            words = f"{many.steps} steps fool no more than {few.steps}, at epsilon {few.epsilon}"
            fields = _check(comparison, model, words, few, many)
            checks.append(Check(*fields, about="convergence"))
    return checks


def _own_examples_best(comparison: Comparison, model: str) -> list[Check]:
    """Another network's examples must not beat the model's own, at the same epsilon."""
    if model in comparison.params.baselines:
        return []
    epsilon, checks = comparison.params.attack.epsilon, []
    for own in _attacks(comparison, model, "step"):
        for name in following("another model") if own.epsilon == epsilon else ():
            borrowed = wrong_by_id(comparison, model, name)
            if borrowed:
                words = f"its own examples fool no fewer than its original's, at epsilon {epsilon}"
                fooled = _fooled(comparison, model, own)
                checks.append(Check(model, words, *_compare(comparison, fooled, borrowed)))
    return checks


def _gradient_best(comparison: Comparison, model: str) -> list[Check]:
    """Queries alone must not beat the strongest attack by gradient, at the same epsilon."""
    checks = []
    for free in _attacks(comparison, model, "queries"):
        attacks = _attacks(comparison, model, "steps")
        same = [attack for attack in attacks if attack.epsilon == free.epsilon]
        if same:
            strongest = max(same, key=lambda attack: _strength(comparison, model, attack))
            words = (
                f"{free.steps} queries without a gradient fool no more than {strongest.steps} "
                f"steps, at epsilon {free.epsilon}"
            )
            checks.append(Check(*_check(comparison, model, words, strongest, free)))
    return checks


def _strength(comparison: Comparison, model: str, attack: Attack) -> tuple[int, float]:
    """By its steps, and among equal ones by the share of images that it fools."""
    fooled = list(_fooled(comparison, model, attack).values())
    return attack.steps, sum(fooled) / len(fooled)


def _gradient_there(comparison: Comparison, model: str) -> list[Check]:
    distances = comparison.distances(model)
    if distances.empty:
        return []
    zero = int(np.isinf(distances.to_numpy()).sum())
    words = "no image has a gradient of zero"
    return [Check(model, words, zero == 0, f"{zero} of {len(distances)} images")]
