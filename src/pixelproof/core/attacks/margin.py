"""How near an image is to being fooled: the margin that searches make smaller."""

import torch
from torch import Tensor, nn


def lead_of(logits: Tensor, labels: Tensor) -> Tensor:
    """The lead (B,) of the true class's logit over the largest other one."""
    truth = logits.gather(1, labels[:, None]).squeeze(1)
    return truth - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)


def judge(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which uint8 images the model gets wrong, and the true class's lead in each."""
    with torch.inference_mode():
        logits = model(images.float() / 255)
        return logits.argmax(dim=1) != labels, lead_of(logits, labels)
