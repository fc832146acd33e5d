"""Auto-PGD: projected gradient steps that choose their own size, in the L-infinity norm.

Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks".
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.checks import check_epsilon, check_mode, check_number
from pixelproof.core.attacks.gradients import cross_entropy, gradient_of, wide
from pixelproof.core.attacks.margin import judge, lead_of
from pixelproof.core.attacks.starts import uniform
from pixelproof.core.counter_random import UInt64

Loss = Callable[[Tensor], Tensor]

_STREAM = 2**44  # beyond those of the other searches
_MOMENTUM = 0.75  # the weight of the new step; the rest is the last one
_RISES = 0.75  # the share of the steps that must have raised the loss
_FIRST, _LESS, _LEAST = 0.22, 0.03, 0.06  # shares of the steps between checks of their size


def apgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    image_ids: UInt64,
    epsilon: int,
    steps: int,
    restarts: int,
    loss: Literal["ce", "dlr"],
    seed: int = 0,
) -> Tensor:
    """Raise a loss by steps with momentum, which are halved where they stop helping, in floats.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        image_ids: (B,) uint64, which key the starts.
        epsilon: The L-infinity radius, from 1 to 255, in units of 1/255.
        steps: From each start, from 1.
        restarts: How many random starts, from 1; an image that is fooled is started no more.
        loss: `ce`, the cross-entropy, or `dlr`, the difference of logits ratio. The latter is
            divided by the difference of the largest and the third largest logit, so that scaled
            logits are attacked alike. With two classes there is no third: the plain difference is
            taken, whose signs are the same.
        seed: Of the starts.

    Returns:
        (B, C, H, W) floats in [0, 1]; see `integer_grid` for images of whole numbers.

    Raises:
        ValueError: A number is out of its range, or the model is in training mode.
    """
    check_mode(model)
    check_epsilon(epsilon)
    check_number("steps", steps)
    check_number("restarts", restarts)
    origin, radius = images.float() / 255, epsilon / 255
    best, fooled = origin.clone(), judge(model, images, labels)[0].clone()
    for restart in range(restarts):
        rows = torch.nonzero(~fooled).squeeze(1)
        if not len(rows):
            break
        drawn = uniform(image_ids[rows.cpu().numpy()], origin[rows], seed, _STREAM + restart)
        start = origin[rows] + radius * (2 * drawn - 1).float()
        ascent = _Ascent(model, origin[rows], labels[rows], radius, _loss(loss, labels[rows]))
        best[rows], fooled[rows] = ascent.run(start, steps)
    return best


def _loss(kind: Literal["ce", "dlr"], labels: Tensor) -> Loss:
    def difference_of_logits_ratio(logits: Tensor) -> Tensor:
        lead = lead_of(logits, labels)
        if logits.shape[1] < 3:
            return -lead
        largest = logits.topk(3, dim=1).values
        return -lead / (largest[:, 0] - largest[:, 2] + 1e-12)

    return cross_entropy(labels) if kind == "ce" else difference_of_logits_ratio


class _Ascent:
    """The ascent of a batch of images from one start each."""

    def __init__(
        self, model: nn.Module, origin: Tensor, labels: Tensor, radius: float, loss: Loss
    ) -> None:
        self.model, self.labels, self.loss = model, labels, loss
        self.low, self.high = (origin - radius).clamp(min=0), (origin + radius).clamp(max=1)
        self.step = torch.full((len(origin), 1, 1, 1), 2 * radius, device=origin.device)
        self.fooled = torch.zeros_like(labels, dtype=torch.bool)

    def run(self, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Climb; returns the first examples that fool, else those of the largest loss."""
        self.current = self._project(start)
        previous, checks, since = self.current, _checks(steps), 0
        self._ask()
        self.example, self.best = self.current, self.current
        self.best_value, self.best_gradient = self.value, self.gradient
        self.checked_value = self.value
        self.reduced = torch.ones_like(self.fooled)
        self.rises = torch.zeros_like(self.labels)
        for number in range(steps):
            ahead = self._project(self.current + self.step * self.gradient.sign())
            weight = _MOMENTUM if number else 1.0
            moved = self.current + weight * (ahead - self.current)
            moved = moved + (1 - weight) * (self.current - previous)
            previous, self.current = self.current, self._project(moved)
            last = self.value
            self._ask()
            self.rises = self.rises + (self.value > last)
            self._keep()
            since += 1
            if number + 1 in checks:
                self._check(since)
                since = 0
        return torch.where(wide(self.fooled), self.example, self.best), self.fooled

    def _ask(self) -> None:
        logits, self.value, self.gradient = gradient_of(self.model, self.current, self.loss)
        hit = (logits.argmax(dim=1) != self.labels) & ~self.fooled
        example = getattr(self, "example", self.current)
        self.example = torch.where(wide(hit), self.current, example)
        self.fooled = self.fooled | hit

    def _keep(self) -> None:
        better = self.value > self.best_value
        self.best = torch.where(wide(better), self.current, self.best)
        self.best_gradient = torch.where(wide(better), self.gradient, self.best_gradient)
        self.best_value = torch.where(better, self.value, self.best_value)

    def _check(self, since: int) -> None:
        """Halve the step and go back to the best point where the loss has not risen enough."""
        stalled = ~self.reduced & (self.checked_value >= self.best_value)
        halved = (self.rises <= _RISES * since) | stalled
        self.step = torch.where(wide(halved), self.step / 2, self.step)
        self.current = torch.where(wide(halved), self.best, self.current)
        self.gradient = torch.where(wide(halved), self.best_gradient, self.gradient)
        self.reduced, self.checked_value = halved, self.best_value
        self.rises = torch.zeros_like(self.rises)

    def _project(self, images: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(images, self.low), self.high)


def _checks(steps: int) -> set[int]:
    """After which steps their size is checked."""
    gap, at, checks = max(1, int(_FIRST * steps)), 0, set()
    while at + gap <= steps:
        at += gap
        checks.add(at)
        gap = max(gap - max(1, int(_LESS * steps)), max(1, int(_LEAST * steps)))
    return checks
