"""Ordinary augmentations, which the paper argues against (Table 3): control arms, no more."""

from collections.abc import Callable

import torch
from torch import Tensor

Augmentation = Callable[[Tensor], Tensor]


def augmentation(name: str) -> Augmentation | None:
    """What is done to one uint8 image (3, H, W) at a time, drawn anew from torch's generator.

    Args:
        name: `none`; `geometric` (flip, rotation by up to 15 degrees, a crop of 80 to 100 % of
            the area); `colour` (noise of 5 % of the range, blur, jitter); `erasing` (Zhong et al.
            2017: a box of 2 to 20 % of the area, with probability one half); `autoaugment` (the
            policy of Cubuk et al. 2018 for ImageNet).

    Returns:
        The augmentation, from an image to one of the same shape and type, or None.

    Raises:
        ValueError: The name is unknown.
    """
    from torchvision.transforms import v2

    steps: dict[str, Callable[[int], list[Augmentation]]] = {
        "none": lambda side: [],
        "geometric": lambda side: [
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(15),
            v2.RandomResizedCrop(side, scale=(0.8, 1.0), antialias=True),
        ],
        "colour": lambda side: [
            v2.ToDtype(torch.float32, scale=True),
            v2.ColorJitter(0.2, 0.2, 0.2, 0.05),
            v2.GaussianBlur(3, (0.1, 1.0)),
            v2.GaussianNoise(0.0, 0.05),
            v2.ToDtype(torch.uint8, scale=True),
        ],
        "erasing": lambda side: [v2.RandomErasing(p=0.5, scale=(0.02, 0.2))],
        "autoaugment": lambda side: [v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)],
    }
    if name not in steps:
        raise ValueError(f"expected one of {list(steps)}, got {name!r}")
    if name == "none":
        return None

    def augment(image: Tensor) -> Tensor:
        for step in steps[name](image.shape[-1]):
            image = step(image)
        return image

    return augment
