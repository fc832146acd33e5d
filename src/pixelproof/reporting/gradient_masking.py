"""Whether a model only hides its gradient: attacks fail, and the model is no more robust for it.

The checks are those of Carlini et al. 2019, "On Evaluating Adversarial Robustness", and of Athalye
et al. 2018, "Obfuscated Gradients Give a False Sense of Security", as far as the experiments allow.
A check fails only where its 95 % interval excludes it. Two allow for something: an attack of half
the range or more must fool nearly all images (`NEARLY_ALL`), and random starts may add a little
(`A_LITTLE`).
"""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pixelproof.core.statistics.differences import paired_difference
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.params.named_attacks import TRAINED, kind_of
from pixelproof.reporting.comparison import Comparison, wrong_by_id
from pixelproof.reporting.experiments import following
from pixelproof.reporting.rows import rows_of
from pixelproof.reporting.wording import margin, percent

LARGE, NEARLY_ALL, A_LITTLE = 128, 0.95, 0.05  # epsilon in units of 1/255; shares of images
CLOSE = 1e-3  # margins of an image that is asked for twice


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
        checks += _nothing_unreached(comparison, model)
        checks += _iterated_best(comparison, model)
        checks += _starts_add_little(comparison, model)
        checks += _answers_again(comparison, model)
    return checks


def masked(checks: list[Check], model: str) -> list[str]:
    """The failed checks that indicate masked gradients; empty where there are none."""
    failed = [check for check in checks if check.model == model and not check.holds]
    return [check.words for check in failed if check.about == "masking"]


def _compare(
    comparison: Comparison, better: dict[str, bool], worse: dict[str, bool], most: float = 0.0
) -> tuple[bool, str]:
    """Whether the second attack does not beat the first, on the images that both attacked.

    Args:
        comparison: Of all models.
        better: Which images the first fools.
        worse: Which the second fools.
        most: By how much the second may be better.
    """
    images = sorted(set(better) & set(worse))
    if not images:
        return True, "no image in both"
    pair: list[npt.NDArray[Any]] = [
        np.array([[attack[image]] for image in images]) for attack in (better, worse)
    ]
    compare = comparison.params.compare
    groups = comparison.groups(images)
    difference = paired_difference(
        *pair, resamples=compare.resamples, seed=compare.seed, groups=groups
    )
    rates = f"{percent(pair[0].mean())} against {percent(pair[1].mean())}"
    return difference.high >= -most, f"{rates} of {len(images)} images"


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
    comparison: Comparison,
    model: str,
    words: str,
    better: Attack,
    worse: Attack,
    most: float = 0.0,
) -> tuple[str, str, bool, str]:
    """The fields of a check that a second attack does not beat the first."""
    fooled, others = (_fooled(comparison, model, attack) for attack in (better, worse))
    return model, words, *_compare(comparison, fooled, others, most)


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


def _named(comparison: Comparison, model: str) -> list[Attack]:
    """The attacks by name in the L-infinity norm that follow a model's own gradient for a while."""
    ledger = comparison.ledgers[model]
    rows = ledger[["experiment", "steps", "epsilon"]].drop_duplicates()
    rows = rows[rows["experiment"].map(_follows_gradient).astype(bool)].dropna()
    keys = zip(rows["experiment"], rows["steps"], rows["epsilon"], strict=True)
    return [Attack(str(name), int(steps), int(epsilon)) for name, steps, epsilon in keys]


def _follows_gradient(experiment: str) -> bool:
    """Whether an attack by name is one in the L-infinity norm along the model's own gradient."""
    name, kind = experiment.partition(":")[0], kind_of(experiment)
    along = kind is not None and (kind.norm, kind.sees) == ("linf", "gradients")
    return along and name not in TRAINED


def _nothing_unreached(comparison: Comparison, model: str) -> list[Check]:
    """An attack that may change nearly everything fools nearly all."""
    checks = []
    for attack in _named(comparison, model) + _attacks(comparison, model, "steps"):
        if attack.epsilon >= LARGE and attack.steps > 1:
            by_image = _fooled(comparison, model, attack)
            fooled, groups = np.array([*by_image.values()])[:, None], comparison.groups([*by_image])
            words = (
                f"{attack.steps} steps at epsilon {attack.epsilon} fool at least "
                f"{percent(NEARLY_ALL, 0)}"
            )
            holds = rate_interval(fooled, groups=groups).high >= NEARLY_ALL
            found = f"{percent(fooled.mean())} of {len(fooled)} images"
            checks.append(Check(model, words, holds, found))
    return checks


def _iterated_best(comparison: Comparison, model: str) -> list[Check]:
    """Examples that were iterated on another model must not beat the model's own."""
    checks, own = [], _attacks(comparison, model, "steps")
    for lent in _attacks(comparison, model, "another model iterated"):
        lender = lent.experiment.removeprefix("transfer_")
        for attack in own:
            if (attack.epsilon, attack.steps) == (lent.epsilon, lent.steps):
                words = (
                    f"its own examples fool no fewer than the {lender}'s, in {lent.steps} steps "
                    f"at epsilon {lent.epsilon}"
                )
                checks.append(Check(*_check(comparison, model, words, attack, lent)))
    return checks


def _starts_add_little(comparison: Comparison, model: str) -> list[Check]:
    """Random starts must not find much that one start from the image does not."""
    checks, own = [], _attacks(comparison, model, "steps")
    for started, attack in product(_named(comparison, model), own):
        same = (attack.epsilon, attack.steps) == (started.epsilon, started.steps)
        if same and started.experiment.startswith("pgd:"):  # the same steps, from elsewhere
            words = (
                f"random starts fool at most {margin(A_LITTLE)} more than none, in "
                f"{started.steps} steps at epsilon {started.epsilon}"
            )
            fields = _check(comparison, model, words, attack, started, A_LITTLE)
            checks.append(Check(*fields))
    return checks


def _answers_again(comparison: Comparison, model: str) -> list[Check]:
    """The same question must have the same answer."""
    ledger = comparison.ledgers[model]
    first, again = (
        rows_of(ledger, name).set_index("image")["margin"] for name in ("clean", "repeated")
    )
    if again.empty:
        return []
    before, after = (margins.to_numpy(dtype=float) for margins in (first[again.index], again))
    other = ~np.isclose(before, after, rtol=CLOSE, atol=CLOSE)
    words = "it answers the same when it is asked again"
    return [Check(model, words, not other.any(), f"{other.sum()} of {len(other)} images differ")]
