"""Adversarial transformation networks: a small network that is trained to write the attack.

Baluja and Fischer 2018, "Learning to Attack: Adversarial Transformation Networks", in the form that
writes a perturbation (P-ATN), untargeted. Once it is trained, an example costs one pass of a few
small convolutions, and no gradient of the model that is attacked.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof.core.attacks.ball import Ball
from pixelproof.core.attacks.checks import check_epsilon, check_mode, check_number
from pixelproof.core.attacks.margin import lead_of

CHANNELS = 16
BATCH = 32
LEARNING_RATE = 3e-3
SPREAD = 4.0  # of the values that the network is given, around 0


class TransformationNetwork(nn.Module):
    """From images in [0, 1] to perturbations in (-1, 1), to be multiplied by epsilon."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, 3, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) perturbations of (B, 3, H, W) images."""
        return torch.tanh(self.layers(SPREAD * (images - 0.5)))


def train_transformation(
    model: nn.Module,
    images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    labels: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    epsilon: int,
    steps: int,
    seed: int = 0,
    device: torch.device | None = None,
) -> TransformationNetwork:
    """Train a network to attack a model.

    It makes the lead of the true class small, softly below zero, on images that have no part in
    what is attacked later. The distance needs no term of the loss: it cannot exceed epsilon.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode, its parameters
            frozen.
        images: (N, 3, H, W) uint8, those to train on; may be memory-mapped.
        labels: (N,) the model's indices of their true classes.
        epsilon: The L-infinity radius, from 1 to 255, in units of 1/255.
        steps: Of the training, from 1, each of a batch of 32.
        seed: Of the weights at the start and of the order of the images.
        device: Where the model is; None is the CPU.

    Returns:
        The network, in eval mode.

    Raises:
        ValueError: A number is out of its range, there is no image, or the model is in training
            mode.
    """
    check_mode(model)
    check_epsilon(epsilon)
    check_number("steps", steps)
    check_number("images", len(images))
    device = device or torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TransformationNetwork().to(device)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    random = np.random.Generator(np.random.Philox(seed))
    for _ in range(steps):
        rows = np.sort(random.integers(0, len(images), min(BATCH, len(images))))
        batch = torch.from_numpy(np.array(images[rows])).to(device).float() / 255
        truth = torch.from_numpy(labels[rows]).to(device)
        loss = _loss(network, model, batch, truth, epsilon)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval().requires_grad_(False)


def _loss(
    network: TransformationNetwork, model: nn.Module, batch: Tensor, truth: Tensor, epsilon: int
) -> Tensor:
    """The mean lead of the true class in what the network writes, softly above zero."""
    with torch.enable_grad():
        changed = (batch + epsilon / 255 * network(batch)).clamp(0, 1)
        return F.softplus(lead_of(model(changed), truth)).mean()


def transform(network: TransformationNetwork, images: Tensor, epsilon: int) -> Tensor:
    """The examples that a trained network writes.

    Args:
        network: In eval mode.
        images: (B, 3, H, W) uint8.
        epsilon: The L-infinity radius, in units of 1/255.

    Returns:
        (B, 3, H, W) uint8: each value moved by a whole number of units of at most epsilon, by the
        sign of the perturbation rounded away from zero, so that a change is not lost to rounding.
    """
    with torch.inference_mode():
        moved = network(images.float() / 255) * epsilon
    whole = (moved.sign() * moved.abs().ceil()).to(torch.int16)
    ball = Ball(images, epsilon)
    return ball.nearest(ball.centre + whole).to(torch.uint8)
