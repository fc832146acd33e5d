"""The Pixel-index Pi as a metric of torchmetrics, right under several processes."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelproof.api.image_ids import ImageIds, as_image_ids
from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.errors import NumericalError, ParameterError

try:
    from torchmetrics import Metric
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "PixelIndex needs the package torchmetrics: pip install 'pixelproof[metrics]'",
        name=error.name,
    ) from None


class PixelIndex(Metric):
    """Pi over all batches and processes (Equation 7), with 95 % intervals by image.

    `update` takes predictions for changed images. The paper counts the images that the model
    classifies right unchanged; give its answers for those as `unchanged`, and the others are
    left out. Ids say which predictions are draws of one image, whose errors go together; a
    repeated (id, draw) counts once, so that what a DistributedSampler repeats to fill the last
    batch changes nothing. Without ids each prediction counts as an image of its own.

    `compute` returns Pi, NaN where no image counts; `summary` returns the figures beside it.

    Args:
        n: How many pixels were changed, from 1.
        side: The side of the square images in pixels.
        values: R, as `SmallDistance` takes it.
        area: P, the side of the centred square that held the changes; None is the whole image.
        settings: Of every metric of torchmetrics.

    Raises:
        ValueError: An argument is out of its range.

    >>> metric = PixelIndex(n=64, side=224, area=200, values="full")
    >>> metric.update(torch.tensor([1] * 9 + [0]), torch.ones(10, dtype=torch.int64))
    >>> round(float(metric.compute()), 3)  # Equations 8 to 12
    98.345
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0

    named: list[Tensor]  # (N, 3) int64: the image's id, the draw, whether the prediction is wrong
    unnamed: Tensor
    unnamed_wrong: Tensor

    def __init__(
        self,
        n: int,
        side: int,
        values: str = "stuck",
        area: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        pixel_index(0.0, n, side, values, area)  # refuses what is out of its range
        self.n, self.side, self.values, self.area = n, side, values, area
        self.add_state("named", [], dist_reduce_fx="cat")
        self.add_state("unnamed", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("unnamed_wrong", torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self,
        preds: Tensor,
        target: Tensor,
        *,
        ids: ImageIds | None = None,
        draw: int = 0,
        unchanged: Tensor | None = None,
    ) -> None:
        """Add the predictions for a batch of changed images.

        Args:
            preds: Classes (B,), or scores (B, K) of which the largest counts.
            target: (B,) the true classes.
            ids: One for each image, any integers of 64 bits; in every update or in none.
            draw: Which of the draws of these images this is.
            unchanged: The same model's answers for the unchanged images, as `preds`; where they
                are wrong, the image is left out.

        Raises:
            ValueError: The shapes do not fit, or ids are given in some updates alone.
            NumericalError: A score is NaN.
        """
        wrong = _classes("preds", preds, target) != target
        counted = torch.ones_like(wrong)
        if unchanged is not None:
            counted = _classes("unchanged", unchanged, target) == target
        named = any(len(rows) for rows in self.named)  # `sync` leaves an empty tensor
        if (ids is None and named) or (ids is not None and self.unnamed > 0):
            raise ParameterError("ids: expected in every update or in none, got both")
        if ids is None:
            self.unnamed += counted.sum()
            self.unnamed_wrong += (wrong & counted).sum()
            return
        keys = torch.from_numpy(as_image_ids(ids, len(wrong)).view(np.int64)).to(wrong.device)
        rows = torch.stack([keys, torch.full_like(keys, draw), wrong.to(torch.int64)], dim=1)
        self.named.append(rows[counted])

    def compute(self) -> Tensor:
        """Pi, a scalar without a unit; the smaller, the more robust."""
        rows = self._rows()
        wrong, count = self._counts(rows)
        rate = wrong / count if count else float("nan")
        return torch.tensor(self._pi(rate), device=self.device)

    def summary(self) -> dict[str, float]:
        """The figures of a row of `metrics/results.csv`, under its names, over all processes.

        Under several processes each of them must call it.

        Returns:
            `images`, `draws`, `wrong`, `error_rate`, `error_low`, `error_high`, `pi`, `pi_low`
            and `pi_high`.

        Raises:
            ValueError: No image counts, or some images have more draws than others.
        """
        with self.sync_context():
            table = self._by_image(self._rows())
        rate = rate_interval(table)
        images, draws = table.shape
        figures = {"images": images, "draws": draws, "wrong": int(table.sum())}
        bounds = zip(("error_rate", "error_low", "error_high"), rate, strict=True)
        pis = zip(("pi", "pi_low", "pi_high"), map(self._pi, rate), strict=True)
        return figures | dict(bounds) | dict(pis)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the states of all processes, those among them that saw no image."""
        if not self.named:  # torchmetrics would send floats of another shape for it
            self.named = [torch.empty((0, 3), dtype=torch.int64, device=self.device)]
        super().sync(*args, **kwargs)

    def _pi(self, rate: float) -> float:
        return pixel_index(rate, self.n, self.side, self.values, self.area)

    def _rows(self) -> npt.NDArray[np.int64]:
        """What is known of named images, (N, 3), each (id, draw) once, in the order of the ids."""
        parts = [self.named] if isinstance(self.named, Tensor) else self.named  # after a sync
        rows = np.concatenate([np.empty((0, 3), np.int64), *(one.cpu().numpy() for one in parts)])
        keys = np.ascontiguousarray(rows[:, :2]).view(np.uint64)
        _, first = np.unique(keys, axis=0, return_index=True)
        kept: npt.NDArray[np.int64] = rows[first]
        return kept

    def _counts(self, rows: npt.NDArray[np.int64]) -> tuple[int, int]:
        """How many predictions are wrong, and how many there are."""
        return int(rows[:, 2].sum()) + int(self.unnamed_wrong), len(rows) + int(self.unnamed)

    def _by_image(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which draws of which images are wrong, (images, draws)."""
        if not len(rows):
            wrong, count = self._counts(rows)
            return (np.arange(count) < wrong)[:, None]
        _, draws = np.unique(rows[:, 0], return_counts=True)
        if draws.min() != draws.max():
            raise ParameterError(
                f"expected as many draws of each image, got {draws.min()} to {draws.max()}"
            )
        return rows[:, 2].reshape(-1, draws[0]).astype(bool)  # ordered by image


def _classes(name: str, answers: Tensor, target: Tensor) -> Tensor:
    """The predicted classes (B,) in answers that are classes or scores."""
    scores = answers.ndim == 2 and answers.shape[1] > 1 and answers.is_floating_point()
    classes = answers.ndim == 1 and not answers.is_floating_point()
    if target.ndim != 1 or len(answers) != len(target) or not (scores or classes):
        raise ParameterError(
            f"{name}: expected classes (B,) or scores (B, K) beside target (B,), got "
            f"{answers.dtype} {tuple(answers.shape)} beside {tuple(target.shape)}"
        )
    if not scores:
        return answers
    if answers.isnan().any():
        raise NumericalError(f"{name}: expected scores, got NaN; check the model's weights")
    return answers.argmax(dim=1)
