"""A network as a tutorial would use it, which the peers get where they are taken as given."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from pixelproof.models.classifier import Classifier


class PlainNetwork(nn.Module):
    """A copy of a network and its normalisation, in NCHW, the format in which torch starts."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = deepcopy(classifier.network).to(memory_format=torch.contiguous_format)
        self.mean, self.std = classifier.mean, classifier.std
        self.train(classifier.training)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of (B, 3, H, W) uint8, or floats in [0, 1]."""
        floats = images.float() / 255 if images.dtype == torch.uint8 else images
        logits: Tensor = self.network((floats - self.mean) / self.std)
        return logits
