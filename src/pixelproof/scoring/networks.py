"""Targets that are torch networks: by name, in model folders of ours, given as modules."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pixelproof.errors import ParameterError
from pixelproof.models.architectures import TORCHVISION, find_architecture
from pixelproof.models.classifier import Classifier
from pixelproof.models.devices import find_device
from pixelproof.models.loading import load_classifier
from pixelproof.models.network import fill_weights
from pixelproof.scoring.target import Target, TargetOptions, normalisation, normalisation_words

if TYPE_CHECKING:
    from pixelproof.params.select import Fit

# Of the images that the published weights were made for; torchvision's say it themselves.
_SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


class Normalised(nn.Module):
    """A network given uint8 images, or floats in [0, 1], and a normalisation of its own."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Take a network that answers normalised floats (B, 3, H, W)."""
        super().__init__()
        # In a tuple it is no submodule: what torch.export loads refuses `eval`.
        self._network = (network,)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B, K) of images (B, 3, H, W)."""
        floats = images.float() / 255 if images.dtype == torch.uint8 else images
        scores: Tensor = self._network[0]((floats - self.mean) / self.std)
        return scores


def published_target(name: str, options: TargetOptions) -> Target:
    """A network by name, with the weights that its authors have published.

    Raises:
        ParameterError: The name is unknown, or there are no published weights.
        DataError: The weights cannot be had.
    """
    architecture = find_architecture(name)
    if architecture.published is None:
        raise ParameterError(f"{name}: expected a network with published weights, or another model")
    network = architecture.build(None)
    fill_weights(network, architecture.published(), name)
    asked = options.preprocessing
    mean, std = normalisation(asked, architecture.mean, architecture.std)
    source = {"weights": "published"}
    classifier = Classifier(network, name, architecture.classes(), mean, std, source)
    side = asked.side or _SIDES.get(name)
    if side is None and name.startswith(TORCHVISION):
        from torchvision.models import get_model_weights

        weights = get_model_weights(name.removeprefix(TORCHVISION)).DEFAULT
        side = int(weights.transforms().crop_size[0])
    return classifier_target(classifier.eval(), name, side, asked.fit or "imagenet", options)


def folder_target(folder: Path, options: TargetOptions) -> Target:
    """A model folder of ours.

    Raises:
        DataError: The folder holds no classifier.
        IntegrityError: It is damaged, or names code that is not trusted.
    """
    classifier = load_classifier(folder, trust_code=options.trust)
    return own_target(classifier, str(folder), options)


def own_target(classifier: Classifier, source: str, options: TargetOptions) -> Target:
    """A classifier of ours, which knows its images and its normalisation.

    Raises:
        ParameterError: The options say something else.
    """
    asked = options.preprocessing
    if asked.mean or asked.std:
        raise ParameterError(f"{source}: expected no --mean and --std: it owns its normalisation")
    if classifier.side is not None and asked.side not in (None, classifier.side):
        raise ParameterError(
            f"{source}: expected images of side {classifier.side}, as it was trained on, "
            f"got {asked.side}"
        )
    side = asked.side or classifier.side
    return classifier_target(classifier, source, side, asked.fit or classifier.fit, options)


def classifier_target(
    classifier: Classifier, source: str, side: int | None, fit: "Fit", options: TargetOptions
) -> Target:
    """A classifier for images of a side."""
    device = find_device(options.device)
    return Target(
        source,
        classifier.to(device),
        side,
        fit,
        options.classes or classifier.classes,
        device,
        gradient=True,
        words="its own normalisation",
    )


def module_target(
    network: nn.Module, source: str, options: TargetOptions, gradient: bool = True
) -> Target:
    """A network that takes floats (B, 3, H, W), normalised as the options say.

    Args:
        network: In eval mode, on the device that the options name.
        source: What to call it.
        options: What a person says of it.
        gradient: Whether it can be differentiated.

    Raises:
        ParameterError: The normalisation is not what it must be.
    """
    asked = options.preprocessing
    device = find_device(options.device)
    return Target(
        source,
        Normalised(network, *normalisation(asked)).eval().to(device),
        asked.side,
        asked.fit or "stretch",
        options.classes,
        device,
        gradient,
        words=normalisation_words(asked),
    )
