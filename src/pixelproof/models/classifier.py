"""A classifier: a network with its classes that owns its preprocessing."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from pixelproof.errors import DataError
from pixelproof.models.architectures import Triple
from pixelproof.models.class_names import match_classes
from pixelproof.models.network import final_layer

if TYPE_CHECKING:  # a served model reads no parameters
    from pixelproof.params.select import Fit


class Classifier(nn.Module):
    """A network together with its classes and the normalisation that its weights expect.

    Attributes:
        network: Takes normalised floats (B, 3, H, W) and returns logits (B, K).
        architecture: The name it was built by.
        classes: The names of the K classes, by index.
        source: Where its weights came from.
        side: The side in pixels of the images it was trained on, or None.
        fit: How an image becomes a square of that side.
        engine: What runs the network in inference mode: normalised floats in, logits out; None
            is torch (see `models.engines`).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        architecture: str,
        classes: Sequence[str],
        mean: Triple,
        std: Triple,
        source: dict[str, Any],
        side: int | None = None,
        fit: "Fit" = "stretch",
    ) -> None:
        """Wrap a network; `channels_last` because some networks are many times slower without."""
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.architecture = architecture
        self.classes = tuple(classes)
        self.source = source
        self.side = side
        self.fit: Fit = fit
        self.engine: Callable[[Tensor], Tensor] | None = None
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: (B, 3, H, W), uint8, or floats in [0, 1] where a gradient is wanted.

        Returns:
            Logits (B, K).

        Raises:
            ValueError: The images are of another shape, size or type, or beyond [0, 1].
        """
        self._check(images)
        if images.dtype == torch.uint8:
            images = images.float() / 255
        normalised = (images - self.mean) / self.std
        if self.engine is not None and torch.is_inference_mode_enabled():
            return self.engine(normalised)
        logits: Tensor = self.network(normalised.contiguous(memory_format=torch.channels_last))
        return logits

    def _check(self, images: Tensor) -> None:
        side = self.side
        height, width = ("H", "W") if side is None else (side, side)
        expected = f"expected images (B, 3, {height}, {width})"
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"{expected}, got {tuple(images.shape)}")
        if side is not None and images.shape[2:] != (side, side):
            raise ValueError(
                f"{expected}, as it was trained on, got {tuple(images.shape)}; resize them, as "
                "`pixelproof predict` does"
            )
        if images.dtype == torch.uint8 or not images.numel():
            return
        if not images.is_floating_point():
            raise ValueError(f"expected uint8, or floats in [0, 1], got {images.dtype}")
        low, high = (float(bound) for bound in images.detach().aminmax())
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"expected floats in [0, 1], got {low:g} to {high:g}; give uint8, or divide by 255"
            )

    def targets(self, classes: Sequence[str]) -> Tensor:
        """The classifier's index of each of the data's classes.

        Raises:
            DataError: One has no match by name, WordNet id or index (see `match_classes`).
        """
        try:
            return torch.tensor(match_classes(classes, self.classes), dtype=torch.int64)
        except DataError as error:
            raise DataError(f"{self.architecture}: {error}") from None

    def names(self, classes: Sequence[str]) -> tuple[str, ...]:
        """What to call each output: the data's name of the class where it has one.

        Raises:
            DataError: As `targets`.
        """
        named = {int(at): name for at, name in zip(self.targets(classes), classes, strict=True)}
        # What the data has no images of must not be taken for what it has.
        return tuple(
            named.get(at, f"{name} (class {at})" if name in classes else name)
            for at, name in enumerate(self.classes)
        )

    def set_trainable(self, part: Literal["whole", "head"]) -> list[nn.Parameter]:
        """Make the whole network or only its final layer trainable, and freeze the rest.

        Returns:
            The parameters to train.
        """
        self.network.requires_grad_(part == "whole")
        _, head = final_layer(self.network, len(self.classes))
        head.requires_grad_(True)
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]
