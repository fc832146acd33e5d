"""Random starts in a ball around an image, each value a function of (seed, image, restart)."""

import numpy as np
import torch
from torch import Tensor

from pixelproof.core.counter_random import UInt64, image_keys, random_words

_UNIT = 2.0**-53  # the high 53 bits of a word fill a float


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
    words = random_words(keys, images[0].numel(), 0) >> np.uint64(11)
    drawn = torch.from_numpy(words.astype(np.float64) * _UNIT)
    return drawn.view(images.shape).to(images.device)
