"""The section `models`: all baselines and all arms, each with its baseline."""

from pixelproof.params.section import section


@section
class Model:
    """A baseline or an arm; its origin tells DVC which adversarial examples it is tested on."""

    origin: str
    """The baseline itself, or that of the arm."""
