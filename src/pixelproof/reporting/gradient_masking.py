"""Whether a model only hides its gradient: attacks fail, and the model is no more robust for it.

The checks are those of Carlini et al. 2019, "On Evaluating Adversarial Robustness", and of Athalye
et al. 2018, "Obfuscated Gradients Give a False Sense of Security", as far as the experiments allow.
A check fails only where its paired 95 % interval says so; none has a constant to be tuned.
"""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pixelproof.core.statistics.differences import paired_difference
from pixelproof.reporting.comparison import Comparison, wrong_by_id

ITERATED = "whitebox_iterated"


@dataclass(frozen=True)
class Check:
    """One check of one model.

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
    found = []
    for model in comparison.ledgers:
        found += _more_epsilon(comparison, model)
        found += _more_steps(comparison, model)
        found += _converged(comparison, model)
        found += _own_examples_best(comparison, model)
        found += _gradient_best(comparison, model)
        found += _gradient_there(comparison, model)
    return found


def masked(checks: list[Check], model: str) -> list[str]:
    """Why a model's gradients are held to be masked; empty where nothing says so."""
    failed = [one for one in checks if one.model == model and not one.holds]
    return [one.words for one in failed if one.about == "masking"]


def _compare(
    comparison: Comparison, better: dict[str, bool], worse: dict[str, bool]
) -> tuple[bool, str]:
    """Whether the first attack is not beaten by the second, on the images that both took."""
    images = sorted(set(better) & set(worse))
    if not images:
        return True, "no image in both"
    pair: list[npt.NDArray[Any]] = [
        np.array([[attack[image]] for image in images]) for attack in (better, worse)
    ]
    compare = comparison.params.compare
    found = paired_difference(*pair, resamples=compare.resamples, seed=compare.seed)
    rates = f"{100 * pair[0].mean():.1f} % against {100 * pair[1].mean():.1f} %"
    return found.high >= 0, f"{rates} of {len(images)} images"


def _attacks(
    comparison: Comparison, model: str, kind: str = "whitebox"
) -> list[tuple[str, int, int]]:
    """The attacks on a model itself: (experiment, steps, epsilon), from weak to strong."""
    table = comparison.table
    chosen = (table["model"] == model) & table["experiment"].str.startswith(kind)
    rows = table[chosen].sort_values(["experiment", "steps", "epsilon"])
    keys = zip(rows["experiment"], rows["steps"], rows["epsilon"], strict=True)
    return [(str(name), int(steps), int(epsilon)) for name, steps, epsilon in keys]


def _fooled(comparison: Comparison, model: str, attack: tuple[str, int, int]) -> dict[str, bool]:
    experiment, steps, epsilon = attack
    return wrong_by_id(comparison, model, experiment, steps=steps, epsilon=epsilon)


def _more_epsilon(comparison: Comparison, model: str) -> list[Check]:
    attacks = _attacks(comparison, model)
    found = []
    for weak, strong in pairwise(attacks):
        if weak[:2] == strong[:2] and weak[0] == ITERATED:
            holds, figures = _compare(
                comparison, _fooled(comparison, model, strong), _fooled(comparison, model, weak)
            )
            words = f"epsilon {strong[2]} fools no fewer than {weak[2]}, in {weak[1]} steps"
            found.append(Check(model, words, holds, figures))
    return found


def _more_steps(comparison: Comparison, model: str) -> list[Check]:
    attacks = _attacks(comparison, model)
    found = []
    for few in attacks:
        for many in attacks:
            if few[2] == many[2] and few[1] < many[1]:
                holds, figures = _compare(
                    comparison, _fooled(comparison, model, many), _fooled(comparison, model, few)
                )
                words = f"{many[1]} steps fool no fewer than {few[1]}, at epsilon {few[2]}"
                found.append(Check(model, words, holds, figures))
    return found


def _converged(comparison: Comparison, model: str) -> list[Check]:
    """More steps of the iterated attack must change nothing."""
    attacks = [one for one in _attacks(comparison, model) if one[0] == ITERATED]
    found = []
    for few, many in product(attacks, attacks):
        if few[2] == many[2] and few[1] < many[1]:
            holds, figures = _compare(
                comparison, _fooled(comparison, model, few), _fooled(comparison, model, many)
            )
            words = f"{many[1]} steps fool no more than {few[1]}, at epsilon {few[2]}"
            found.append(Check(model, words, holds, figures, "convergence"))
    return found


def _own_examples_best(comparison: Comparison, model: str) -> list[Check]:
    """Another network's examples must not beat the model's own, at the same epsilon."""
    if model in comparison.params.baselines:
        return []
    epsilon = comparison.params.attack.epsilon
    own = ("whitebox_fgsm", 1, epsilon)
    if own not in _attacks(comparison, model):
        return []
    borrowed = wrong_by_id(comparison, model, "transfer_fgsm")
    if not borrowed:
        return []
    holds, figures = _compare(comparison, _fooled(comparison, model, own), borrowed)
    words = f"its own examples fool no fewer than its original's, at epsilon {epsilon}"
    return [Check(model, words, holds, figures)]


def _gradient_best(comparison: Comparison, model: str) -> list[Check]:
    """Queries alone must not beat the strongest attack by gradient, at the same epsilon."""
    found = []
    for experiment, queries, epsilon in _attacks(comparison, model, "gradient_free"):
        steps = [one[1] for one in _attacks(comparison, model, ITERATED) if one[2] == epsilon]
        if steps:
            holds, figures = _compare(
                comparison,
                _fooled(comparison, model, (ITERATED, max(steps), epsilon)),
                _fooled(comparison, model, (experiment, queries, epsilon)),
            )
            words = f"{queries} queries without a gradient fool no more than {max(steps)} steps"
            found.append(Check(model, f"{words}, at epsilon {epsilon}", holds, figures))
    return found


def _gradient_there(comparison: Comparison, model: str) -> list[Check]:
    distances = comparison.distances(model)
    if distances.empty:
        return []
    zero = int(np.isinf(distances.to_numpy()).sum())
    words = "no image has a gradient of zero"
    return [Check(model, words, zero == 0, f"{zero} of {len(distances)} images")]
