"""The section `generate`: how small-distance samples are drawn."""

from typing import Literal

from pixelproof.params.kinds import Count, Seed
from pixelproof.params.section import section


@section
class Generate:
    """How small-distance samples are drawn (Algorithm 1)."""

    seed: Seed = 2021
    """Of the draws that arms train on."""
    test_seed: Seed = 2022
    """Of the draws that all models are tested on."""
    positions: Literal["per_image", "shared"] = "per_image"
    """`per_image`: each image has pixels of its own drawn. `shared`: one list for all images, as
    Algorithm 1 is printed."""
    channels: Literal["all", "first"] = "all"
    """`all`: a changed pixel changes in all three channels. `first`: in channel 0 alone, as
    printed."""
    batch_size: Count = 256
    """Images at once; it changes no byte of the result."""
