"""The attacks on a model itself: an entry an attack, from its parameters to its strengths."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

from pixelproof.core.attacks.fgsm import fgsm
from pixelproof.core.attacks.iterated_fgsm import iterated_fgsm
from pixelproof.core.attacks.square import square_attack
from pixelproof.evaluation.measurement import Strength
from pixelproof.evaluation.prediction import without_ids
from pixelproof.params.evaluate import GradientFree, Iterated, Whitebox


def whitebox_fgsm(section: Whitebox) -> Iterator[Strength]:
    """One step: an example that fools its original proves little of another model."""
    for epsilon in section.epsilon:
        examples = without_ids(fgsm, epsilon=epsilon)
        yield Strength(examples, {"epsilon": epsilon, "steps": 1})


def whitebox_iterated(section: Iterated) -> Iterator[Strength]:
    """Several steps, each projected back."""
    for epsilon, steps in product(section.epsilon, section.steps):
        examples = without_ids(iterated_fgsm, epsilon=epsilon, steps=steps)
        lent = without_ids(iterated_fgsm, epsilon=epsilon, steps=steps, strongest=True)
        yield Strength(examples, {"epsilon": epsilon, "steps": steps}, steps, section.images, lent)


def gradient_free(section: GradientFree) -> Iterator[Strength]:
    """By the model's answers alone: a gradient that is hidden protects no model."""
    for epsilon in section.epsilon:
        examples = partial(
            square_attack, epsilon=epsilon, queries=section.queries, seed=section.seed
        )
        setting = {"epsilon": epsilon, "steps": section.queries}
        yield Strength(examples, setting, section.queries, section.images)


# By the name of their section of `evaluate`, which is that of the experiment.
ATTACKS: dict[str, Callable[[Any], Iterator[Strength]]] = {
    "whitebox_fgsm": whitebox_fgsm,
    "whitebox_iterated": whitebox_iterated,
    "gradient_free": gradient_free,
}
