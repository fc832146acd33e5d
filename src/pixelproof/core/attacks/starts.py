"""Random starts in a ball around an image, each value a function of (seed, image, restart)."""

import numpy as np
import torch
from torch import Tensor

from pixelproof.core.counter_random import UInt64, image_keys, random_words, unit_floats


def uniform(image_ids: UInt64, images: Tensor, seed: int, stream: int) -> Tensor:
    """A number in [0, 1) for each value of each image.

    Args:
        image_ids: (B,) uint64.
        images: (B, C, H, W), for the shape and the device.
        seed: Of the attack.
        stream: Of this attack's restart; no two attacks share one.

    Returns:
        (B, C, H, W) float64.
    """
    keys = image_keys(np.ascontiguousarray(image_ids, dtype=np.uint64), seed, stream)
    drawn = torch.from_numpy(unit_floats(random_words(keys, images[0].numel(), 0)))
    return drawn.view(images.shape).to(images.device)
