"""Sparse-RS by its published name: the worst n pixels of each image, in one call."""

from torch import Tensor, nn

from pixelproof.api.image_ids import ImageIds, as_image_ids, content_ids
from pixelproof.core.attacks.pixel_budget import PixelBudget
from pixelproof.core.attacks.sparse import worst_changes
from pixelproof.core.pixel_changes import apply_changes


def sparse_rs(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    n: int,
    *,
    values: str = "stuck",
    area: int | None = None,
    queries: int = 500,
    gradient_steps: int = 0,
    ids: ImageIds | None = None,
    seed: int = 0,
) -> Tensor:
    """Search the n pixels whose change misleads the model the most (Croce et al. 2022).

    The model is asked for scores alone. With `gradient_steps` the search starts from a greedy
    choice along the gradient, which finds as much with about half the queries. An image that is
    wrong unchanged stays as it is.

    Args:
        model: Takes (B, C, H, W) floats in [0, 1] and returns scores (B, K); in eval mode.
        images: (B, C, H, W) uint8.
        labels: (B,) int64, the true classes.
        n: At most so many pixels change, from 1.
        values: `stuck` (0 or 255 in all channels), `full` (0 or 255 in each channel, as
            published) or `offset:d` (the old value plus or minus d, clipped).
        area: The side of the centred square that holds the pixels; None is the whole image.
        queries: How often the model is asked for each image, from 1.
        gradient_steps: Of the greedy start; 0 asks for no gradient.
        ids: What is tried on an image depends on its id; hashes of their content by default.
        seed: Of the search.

    Returns:
        (B, C, H, W) uint8, the changes with the smallest margin that were found.

    Raises:
        ValueError: An argument is out of its range, or the model is in training mode.
    """
    keys = content_ids(images) if ids is None else as_image_ids(ids, len(images))
    budget, steps = PixelBudget(values, area), gradient_steps
    search = worst_changes(
        model, images, labels, keys, [n], budget, queries, gradient_steps=steps, seed=seed
    )
    return apply_changes(images, next(search).changes)
