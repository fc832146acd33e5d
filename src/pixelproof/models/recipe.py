"""How a network is fine-tuned."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # originals are fine-tuned, too, and do not depend on the section of the arms
    from pixelproof.params.finetune import AdversarialShare, WorstShare


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned; equal for all arms but for what they change in the images.

    Attributes:
        epochs: From 1; the last one is used, since no image is left to choose by.
        learning_rate: The peak of a one-cycle schedule (Smith and Topin 2018).
        batch_size: The largest batch.
        seed: Of the order of the images and of dropout.
        n: How many pixels change in an image; 0 for none.
        mix: The share of images left unchanged, drawn anew each epoch.
        fresh: Whether each epoch has its own draw (else draw 0, as in the paper).
        train: The whole network, or only its final layer.
        augment: An ordinary augmentation beside the changed pixels; see `augmentation`.
        adversarial: A share of adversarial examples of the network as it stands, or None.
        worst: A share of images with pixels that a search found, or None.
        values: What the pixels of that search become.
        area: Where they lie.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    n: int = 0
    mix: float = 0.0
    fresh: bool = True
    train: Literal["whole", "head"] = "whole"
    augment: str = "none"
    adversarial: "AdversarialShare | None" = None
    worst: "WorstShare | None" = None
    values: str = "full"
    area: int | None = None

    @property
    def attacked(self) -> float:
        """The share of the images that are changed by an attack on the network as it stands."""
        return sum(part.share for part in (self.adversarial, self.worst) if part is not None)

    def lots(self, count: int, epoch: int) -> npt.NDArray[np.float64]:
        """A number in [0, 1) for each image, which decides what it becomes in an epoch.

        From 0 on lie the unchanged images (`mix`), then the adversarial ones, then those with the
        worst pixels; the rest has random pixels.
        """
        random = np.random.Generator(np.random.Philox(key=[self.seed, epoch]).jumped())
        return random.random(count)

    @property
    def key(self) -> dict[str, Any]:
        """What a checkpoint is known by; without the attacks where there are none.

        So the checkpoint of an arm that makes none has the key that it had before there were any.
        """
        whole = asdict(self)
        attacks = ("adversarial", "worst", "values", "area")
        if self.adversarial is None and self.worst is None:
            whole = {name: value for name, value in whole.items() if name not in attacks}
        return whole
