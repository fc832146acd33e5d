"""The saliency map attack: few pixels, chosen by the Jacobian of the network, in the L0 norm.

Papernot, McDaniel, Jha, Fredrikson, Celik and Swami 2016, "The limitations of deep learning in
adversarial settings".
"""

import torch
from torch import Tensor, nn

from pixelproof.core.attacks.checks import check_mode, check_number
from pixelproof.core.attacks.margin import judge


def jsma(model: nn.Module, images: Tensor, labels: Tensor, n: int) -> Tensor:
    """Change the most salient pixel, again and again, until the model is fooled or n are changed.

    A value is salient where its change raises the logit of the target and lowers the sum of the
    others. The target is the likeliest other class of the unchanged image. Two things differ from
    the paper, which changes two values at a time: a pixel goes as a whole, its saliency the sum of
    its channels'; and its salient values go to 0 or 255 at once, whichever end helps.

    Args:
        model: Takes floats in [0, 1] and owns its normalisation; in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        n: At most so many pixels, from 1.

    Returns:
        (B, C, H, W) uint8. An image in which nothing is salient any more stays as it is.

    Raises:
        ValueError: n is out of its range, or the model is in training mode.
    """
    check_mode(model)
    check_number("n", n, most=images[0, 0].numel())
    current = images.clone()
    with torch.inference_mode():
        logits = model(images.float() / 255)
        targets = logits.scatter(1, labels[:, None], -torch.inf).argmax(dim=1)
    targets = targets.clone()
    free = torch.ones((len(images), images[0, 0].numel()), dtype=torch.bool, device=images.device)
    active = torch.nonzero(logits.argmax(dim=1) == labels).squeeze(1)
    for _ in range(n):
        if not len(active):
            break
        ends, salience = _saliency(model, current[active], targets[active])
        best, chosen = salience.masked_fill(~free[active], 0).max(dim=1)
        active, chosen = active[best > 0], chosen[best > 0]
        rows, columns = chosen // images.shape[3], chosen % images.shape[3]
        inside = torch.nonzero(best > 0).squeeze(1)
        current[active, :, rows, columns] = ends[inside, :, rows, columns]
        free[active, chosen] = False
        if len(active):
            active = active[~judge(model, current[active], labels[active])[0]]
    return current


def _saliency(model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The images with each salient value at its better end, and the saliency (B, H·W) of pixels."""
    leaf = (images.float() / 255).requires_grad_(True)
    with torch.enable_grad():
        logits = model(leaf)
        target = logits.gather(1, targets[:, None]).squeeze(1)
        rest = logits.sum(dim=1) - target
    (wanted,) = torch.autograd.grad(target.sum(), leaf, retain_graph=True)
    (unwanted,) = torch.autograd.grad(rest.sum(), leaf)
    product = torch.nan_to_num(-wanted * unwanted, nan=0.0, posinf=0.0, neginf=0.0).clamp(min=0)
    end = torch.where(wanted > 0, 255, 0).to(torch.uint8)
    salience = product.masked_fill(end == images, 0)
    ends = torch.where(salience > 0, end, images)
    return ends, salience.sum(dim=1).flatten(1)
