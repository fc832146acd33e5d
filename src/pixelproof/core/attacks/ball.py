"""Images of whole numbers near an image: where attacks in the L-infinity norm may go."""

import torch
from torch import Tensor


class Ball:
    """The images of whole numbers within epsilon of some, and in 0..255.

    Args:
        images: (B, C, H, W) uint8, the centres.
        epsilon: The L-infinity radius, in units of 1/255.
    """

    def __init__(self, images: Tensor, epsilon: int) -> None:
        self.centre = images.to(torch.int16)
        self.low = (self.centre - epsilon).clamp(min=0)
        self.high = (self.centre + epsilon).clamp(max=255)

    def nearest(self, points: Tensor) -> Tensor:
        """Points (B, C, H, W) int16, each where it is or as near to it as the ball allows."""
        return torch.minimum(torch.maximum(points, self.low), self.high)

    def step(self, points: Tensor, gradient: Tensor, length: int) -> Tensor:
        """Points moved by so many units along the sign of a gradient, and projected back.

        A gradient of zero moves nothing.
        """
        return self.nearest(points + gradient.sign().to(torch.int16) * length)
