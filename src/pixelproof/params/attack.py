"""The section `attack`: FGSM examples from the originals."""

from pixelproof.params.kinds import Count, Epsilon
from pixelproof.params.section import section


@section
class Attack:
    """FGSM examples from the originals (Tables 9 and 11)."""

    epsilon: Epsilon = 1
    """By how much a channel of a pixel may change, in units of 1/255."""
    batch_size: Count = 64
    """Images at once."""
