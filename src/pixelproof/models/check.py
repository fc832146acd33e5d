"""A network is tried on two images before hours of work: logits, and a gradient of them?"""

import torch
from torch import Tensor

from pixelproof.errors import ParameterError
from pixelproof.models.classifier import Classifier


def try_network(classifier: Classifier, size: int, name: str) -> None:
    """Check that a classifier takes images of the pipeline's size and answers in logits.

    Their gradient must reach the images: training and attacks need it.

    Args:
        classifier: Any; left in eval mode.
        size: The side of the images.
        name: Of the baseline, for errors.

    Raises:
        ParameterError: It does not; says what came.
    """
    key = f"baselines.{name}.classifier: {classifier.architecture}"
    expected = f"expected logits, float32 (2, {len(classifier.classes)}) for two images"
    images = torch.randint(
        0, 256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    try:
        with torch.inference_mode():
            logits: object = classifier.eval()(images)
    except Exception as error:  # a network may raise anything
        reason = str(error).strip().partition("\n")[0]
        raise ParameterError(
            f"{key}: does not take images of select.side = {size} pixels: {reason}"
        ) from error
    if not isinstance(logits, Tensor):
        raise ParameterError(f"{key}: {expected}, got {type(logits).__name__}")
    if logits.shape != (2, len(classifier.classes)) or logits.dtype != torch.float32:
        raise ParameterError(f"{key}: {expected}, got {logits.dtype} {tuple(logits.shape)}")
    if (logits >= 0).all() and torch.allclose(logits.sum(dim=1), torch.ones(2), atol=1e-4):
        raise ParameterError(
            f"{key}: {expected}, got probabilities; leave its last softmax out, which hides "
            "margins and gradients"
        )
    try:
        torch.autograd.grad(classifier(leaf := (images / 255).requires_grad_()).sum(), leaf)
    except RuntimeError as error:  # torch's own for an answer that does not depend on the image
        raise ParameterError(
            f"{key}: expected logits with a gradient, which training and attacks go by, got logits "
            "alone; a network that only answers (under torch.no_grad, in another engine, at a "
            "service) cannot be measured here"
        ) from error
