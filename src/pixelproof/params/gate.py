"""The section `gate`: what a hardened model must show."""

from typing import Annotated

from pydantic import Field

from pixelproof.params.kinds import Count, Expected, RegisteredName
from pixelproof.params.section import section

Margin = Annotated[float, Field(gt=0, lt=1), Expected("a share between 0 and 1")]


@section
class Gate:
    """What a hardened model must show to take the place of the one in use."""

    challenger: str
    """The arm that may be promoted, named before the run: to choose the best arm by the held-out
    images would be a selection on the test set."""
    name: RegisteredName = "pixelproof"
    """The name of the model in MLflow's registry."""
    accuracy_margin: Margin = 0.03
    """By how much the challenger's clean accuracy may be lower, as a share of the images."""
    attack_margin: Margin = 0.1
    """By how much more often attacks on itself may fool it, as a share of the images."""
    images: Count = 100
    """The fewest common images that decide anything."""
    draws: Count = 8
    """How many fresh draws an image are measured."""
    power: Annotated[float, Field(ge=0, lt=1), Expected("a share from 0 to below 1")] = 0.2
    """The least chance to notice a challenger with half the champion's errors that is worth a look
    at the held-out images: each look makes the next ones less likely to notice anything."""
    unknown_seen: bool = False
    """Whether models are judged of which it is unknown what images they have seen."""
