"""What the gate asks of a challenger beyond the experiments: whether it only hides its gradient.

A model whose gradient leads nowhere looks robust to every attack that follows it. What gives it
away (Athalye et al. 2018, Carlini et al. 2019): an attack without a budget does not reach every
image, examples of other models beat its own, random starts find what one start does not, queries
beat gradients, or its answers change from one question to the next.
"""

import dataclasses
from typing import Any

from pixelproof.params.evaluate import Evaluate, GradientFree
from pixelproof.params.named_attacks import NamedAttack

LENT = 200  # of the first images, whose examples of other models a challenger is shown
UNBOUNDED = NamedAttack(attack="bim", epsilon=128, steps=40, images=32)
STARTS, STARTED = 5, 64  # random starts, images
QUERIES, QUERIED = 100, 80  # at least


def probing(evaluate: Evaluate) -> Evaluate:
    """The experiments of a challenger, with attacks that only tell whether its gradient leads on.

    Args:
        evaluate: The experiments that all contestants are compared in.
    """
    return dataclasses.replace(
        evaluate, attacks=_by_name(evaluate), gradient_free=_gradient_free(evaluate)
    )


def _by_name(evaluate: Evaluate) -> dict[str, NamedAttack]:
    attacks = {"unbounded": UNBOUNDED}
    iterated = evaluate.whitebox_iterated
    if iterated is not None:
        attacks["restarts"] = NamedAttack(
            attack="pgd",
            epsilon=min(iterated.epsilon),
            steps=max(iterated.steps),
            restarts=STARTS,
            images=STARTED,
        )
    return attacks


def _gradient_free(evaluate: Evaluate) -> GradientFree | None:
    """Square Attack, of more queries and images than the pipeline may have asked for."""
    asked, iterated = evaluate.gradient_free, evaluate.whitebox_iterated
    if asked is None and iterated is None:
        return None
    strength: dict[str, Any] = {"queries": QUERIES, "images": QUERIED}
    if asked is None:
        return GradientFree(epsilon=iterated.epsilon[-1:], **strength) if iterated else None
    strength["queries"] = max(asked.queries, QUERIES)
    strength["images"] = None if asked.images is None else max(asked.images, QUERIED)
    return dataclasses.replace(asked, **strength)
