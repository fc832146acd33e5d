"""Promotion by hand, whatever the gate said, and the way back to the previous champion."""

from pixelproof.errors import ParameterError
from pixelproof.params.project import Params
from pixelproof.promotion.actor import who
from pixelproof.promotion.fresh_draws import gate_of
from pixelproof.promotion.registry import open_registry
from pixelproof.promotion.version import CHAMPION


def promote_by_hand(params: Params, number: int | None, by: str | None, why: str) -> str:
    """Make a version the champion, whatever the gate said; says what was done.

    Args:
        params: For the name of the model.
        number: Of the version; None is the newest.
        by: Who decides it; None is who is at work.
        why: The reason, which is kept with it.

    Raises:
        ParameterError: There is no such version or no reason.
        ServiceError: MLflow does not answer.
    """
    if not why.strip():
        raise ParameterError("--why: expected a reason, got none")
    registry = open_registry(gate_of(params))
    version = registry.override(number, by or who(), why)
    return f"version {version.number} of {registry.name} is the champion"


def roll_back(params: Params, by: str | None, why: str) -> str:
    """Make the previous champion champion again; says what was done.

    Raises:
        ParameterError: There is nothing to go back to.
        ServiceError: MLflow does not answer.
    """
    registry = open_registry(gate_of(params))
    left = registry.roll_back(by or who(), why)
    champion = registry.at(CHAMPION)
    number = champion.number if champion else None
    if left is None:
        return f"version {number} of {registry.name} is the champion already"
    return f"version {number} of {registry.name} is the champion again, {left.number} was left"
