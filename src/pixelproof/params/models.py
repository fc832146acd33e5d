"""The section `models`: all baselines and all arms, each with its baseline."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A baseline or an arm, as it is evaluated: DVC reads here whose examples that takes."""

    origin: str
