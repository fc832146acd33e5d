"""The section `models`: all baselines and all arms, each with its baseline."""

from pixelproof.params.section import section


@section
class Model:
    """A baseline or an arm, as it is evaluated: DVC reads here whose examples that takes."""

    origin: str
    """The baseline itself, or that of the arm."""
