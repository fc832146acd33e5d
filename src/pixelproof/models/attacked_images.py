"""Training images that are changed by an attack on the network as it stands."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelproof.core.attacks.pixel_budget import PixelBudget
from pixelproof.core.attacks.random_start import from_random_start
from pixelproof.core.attacks.sparse import worst_changes
from pixelproof.core.pixel_changes import apply_changes
from pixelproof.models.classifier import Classifier
from pixelproof.models.recipe import Recipe

Rows = npt.NDArray[np.int64]


class Attacks:
    """Attacks each batch of a training just before the step that it is for."""

    def __init__(self, classifier: Classifier, ids: npt.NDArray[np.uint64], recipe: Recipe) -> None:
        """Take the network as it stands at each step, and the ids of the training images."""
        self.classifier, self.ids, self.recipe = classifier, ids, recipe
        self.start(0)

    def start(self, epoch: int) -> None:
        """Choose which images are attacked in an epoch, and start its random numbers."""
        ids, recipe = self.ids, self.recipe
        self.random = np.random.Generator(np.random.Philox(key=[recipe.seed, epoch]).jumped(2))
        self.seed = (recipe.seed * 1_000_003 + epoch) % 2**63
        self.lot = recipe.lots(len(ids), epoch)
        share = recipe.adversarial.share if recipe.adversarial else 0.0
        self.first, self.second = recipe.mix + share, recipe.mix + recipe.attacked

    def on(self, rows: Rows, batch: Tensor, labels: Tensor) -> Tensor:
        """A batch (B, 3, H, W) with some of its images attacked, in place.

        In eval mode: the examples leave the running statistics of batch normalisation alone, draw
        no dropout, and are made against what the network would answer in use.
        """
        lot, training = self.lot[rows], self.classifier.training
        parts = (
            (self._adversarial, (lot >= self.recipe.mix) & (lot < self.first)),
            (self._worst, (lot >= self.first) & (lot < self.second)),
        )
        self.classifier.eval()
        for attack, chosen in parts:
            places = torch.from_numpy(np.flatnonzero(chosen)).to(batch.device)
            if len(places):
                batch[places] = attack(rows[chosen], batch[places], labels[places])
        self.classifier.train(training)
        return batch

    def _adversarial(self, rows: Rows, images: Tensor, labels: Tensor) -> Tensor:
        section = self.recipe.adversarial
        assert section is not None, "no image has this lot"
        return from_random_start(
            self.classifier, images, labels, section.epsilon, section.steps, self.random
        )

    def _worst(self, rows: Rows, images: Tensor, labels: Tensor) -> Tensor:
        section, recipe = self.recipe.worst, self.recipe
        assert section is not None, "no image has this lot"
        (worst,) = worst_changes(
            self.classifier,
            images,
            labels,
            self.ids[rows],
            [section.n],
            PixelBudget(recipe.values, recipe.area),
            section.queries,
            gradient_steps=1,
            seed=self.seed,
        )
        return apply_changes(images, worst.changes)
