"""Which changes of pixels an attack may make: where they lie, and which values they take."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pixelproof.core.area import place_cells
from pixelproof.core.counter_random import UInt64
from pixelproof.core.pixel_changes import Changes, Channels, parse_values


@dataclass(frozen=True)
class PixelBudget:
    """The threat model of Pi, but for the number of pixels.

    An attack takes the ends of what is allowed: where the loss is straight nothing in between is
    worse.

    Attributes:
        values: `full` (0 or 255 in each channel), `stuck` (0 or 255 in all channels) or
            `offset:d` (the old value plus or minus d, clipped).
        area: The side of the centred square that holds the pixels; None is the whole image.
        channels: `all`, or `first`: channel 0 alone.
    """

    values: str
    area: int | None = None
    channels: Channels = "all"

    def room(self, images: Tensor) -> int:
        """How many pixels of an image may change at all."""
        return images[0, 0].numel() if self.area is None else self.area**2

    def old(self, images: Tensor, positions: Tensor) -> Tensor:
        """The values (B, k, C) that stand at positions (B, k) of images (B, 3, H, W)."""
        planes = self._planes(images)
        where = positions[:, :, None].expand(-1, -1, planes.shape[2])
        return planes.gather(1, where)

    def chosen(self, images: Tensor, positions: Tensor, words: UInt64) -> Tensor:
        """The end (B, k, C) uint8 that the high bits of words (B, k) choose at each position."""
        kind, _ = parse_values(self.values)
        low, high = self._ends(self.old(images, positions))
        shifts = np.arange(low.shape[2], dtype=np.uint64) * np.uint64(kind != "stuck")
        bits = (words[..., None] >> (np.uint64(63) - shifts)) & np.uint64(1)
        up = torch.from_numpy(bits.astype(bool)).to(images.device)
        return torch.where(up, high, low).to(torch.uint8)

    def steepest(self, images: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """The end at which each pixel shrinks a function the most, as far as its slope tells.

        Args:
            images: (B, 3, H, W) uint8.
            slope: (B, 3, H, W), the gradient of the function by the image.

        Returns:
            The ends (B, H·W, C) uint8, and by how much they shrink the function (B, H·W), up to
            a factor; outside the area that is minus infinity.
        """
        old, slopes = self._planes(images), self._planes(slope)
        low, high = self._ends(old)
        shrunk = [(old - end) * slopes for end in (low, high)]
        if parse_values(self.values)[0] == "stuck":  # all channels go to the same end
            shrunk = [change.sum(dim=2, keepdim=True) for change in shrunk]
        gain = torch.maximum(*shrunk).sum(dim=2)
        shape = (images.shape[2], images.shape[3])
        inside = place_cells(np.arange(self.room(images)), shape, self.area)
        outside = torch.ones(gain.shape[1], dtype=torch.bool, device=images.device)
        outside[torch.from_numpy(inside).to(images.device)] = False
        ends = torch.where(shrunk[1] > shrunk[0], high, low).to(torch.uint8)
        return ends, gain.masked_fill(outside, -torch.inf)

    def absolute(self, images: Tensor, draw: Changes) -> tuple[Tensor, Tensor]:
        """The positions and uint8 values of a stored draw for images, its offsets added."""
        draw = draw.to(images.device)
        if draw.values.dtype == torch.uint8:
            return draw.positions, draw.values
        moved = self.old(images, draw.positions) + draw.values
        return draw.positions, moved.clamp(0, 255).to(torch.uint8)

    def _planes(self, images: Tensor) -> Tensor:
        """The channels that may change, (B, H·W, C), in a type with room for differences."""
        count = 1 if self.channels == "first" else images.shape[1]
        planes = images[:, :count].flatten(2).swapaxes(1, 2)
        return planes.to(torch.int16) if planes.dtype == torch.uint8 else planes

    def _ends(self, old: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and the highest values that are allowed in the place of old ones."""
        _, offset = parse_values(self.values)
        if not offset:
            return torch.zeros_like(old), torch.full_like(old, 255)
        return (old - offset).clamp(min=0), (old + offset).clamp(max=255)
