"""Networks whose worth is planted: both tell the toy images apart, one by many pixels."""

import torch
from torch import Tensor, nn

REGIONS = (slice(0, 5), slice(5, 10))  # columns of 16 where the patch of each class lies


class Planted(nn.Module):
    """Two classes, by how bright their regions are; the head alone can learn."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[2.0, -2.0], [-2.0, 2.0]]))
            self.head.bias.zero_()

    def brightness(self, region: Tensor) -> Tensor:
        return region.mean(dim=(1, 2, 3))

    def forward(self, images: Tensor) -> Tensor:
        found = [self.brightness(images[..., columns]) for columns in REGIONS]
        logits: Tensor = self.head(torch.stack(found, dim=1))
        return logits


class Fragile(Planted):
    """Goes by the brightest pixel, as one hot pixel is."""

    def brightness(self, region: Tensor) -> Tensor:
        return region.amax(dim=(1, 2, 3))


def robust() -> nn.Module:
    return Planted()


def fragile() -> nn.Module:
    return Fragile()
