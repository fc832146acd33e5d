"""A network that is trained to write the attack: its own images are not those it attacks."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.transformation_network import train_transformation, transform

SIDE, COUNT, EPSILON = 8, 200, 8


class Bright(nn.Module):
    """Whether an image is dark or bright."""

    def forward(self, images: Tensor) -> Tensor:
        gap = 100 * (0.5 - images.mean(dim=(1, 2, 3)))
        return torch.stack([gap, -gap], dim=1)


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    """Images that are less dark or bright than the attack may change them, and their classes."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(COUNT) % 2
    noise = torch.randint(-5, 6, (COUNT, 3, SIDE, SIDE), generator=random)
    return (122 + 11 * labels[:, None, None, None] + noise).to(torch.uint8), labels


def fooled(steps: int, seed: int = 0) -> tuple[float, Tensor]:
    model = Bright().eval()
    images, labels = drawn(1)
    network = train_transformation(model, images.numpy(), labels.numpy(), EPSILON, steps, seed)
    others, truth = drawn(2)
    examples = transform(network, others, EPSILON)
    assert (examples.int() - others.int()).abs().max() <= EPSILON
    assert examples.dtype == torch.uint8
    with torch.no_grad():
        wrong = model(examples.float() / 255).argmax(dim=1) != truth
    return float(wrong.float().mean()), examples


def test_it_learns_to_fool_on_images_that_it_has_not_seen() -> None:
    least, most = fooled(1)[0], fooled(300)[0]
    assert least < 0.5
    assert most > 0.9


def test_the_same_seed_is_the_same_attack() -> None:
    first, again, other = (fooled(20, seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_it_cannot_be_trained_on_is_refused() -> None:
    images, labels = (part.numpy() for part in drawn(1))
    model = Bright().eval()
    with pytest.raises(ValueError, match="images: expected a number from 1"):
        train_transformation(model, images[:0], labels[:0], EPSILON, 5)
    with pytest.raises(ValueError, match="steps: expected"):
        train_transformation(model, images, labels, EPSILON, 0)
    with pytest.raises(ValueError, match="eval mode"):
        train_transformation(Bright().train(), np.array(images), labels, EPSILON, 5)
