"""The One Pixel attack: differential evolution over positions and colours, by scores alone.

Su, Vargas and Sakurai 2019, "One pixel attack for fooling deep neural networks".
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pixelproof.core.attacks.checks import check_mode, check_number
from pixelproof.core.attacks.gradients import wide
from pixelproof.core.attacks.margin import judge
from pixelproof.core.counter_random import UInt64, below, image_keys, random_words, unit_floats

_STREAM = 2**43  # beyond those of the other searches; a generation has one, the first has two
_LARGEST = 400  # population, which is the paper's
_DIFFERENTIAL = 0.5  # the weight F; there is no crossover

Floats = npt.NDArray[np.float64]


def one_pixel(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    image_ids: UInt64,
    n: int,
    queries: int,
    seed: int = 0,
) -> Tensor:
    """Evolve n pixels of each image until the model is fooled.

    A candidate is n positions with their colours. Each generation, a candidate's child is the sum
    of another candidate and half the difference of two more; it takes the place of its parent
    where the lead of the true class is smaller. The first positions are uniform, the first colours
    normal with mean 128 and deviation 127.

    Args:
        model: Takes (B, 3, H, W) floats in [0, 1] and returns logits; in eval mode.
        images: (B, 3, H, W) uint8.
        labels: (B,) int64, the true classes.
        image_ids: (B,) uint64; what is tried on an image depends on its id and the seed alone.
        n: At most so many pixels, from 1.
        queries: How often the model is asked about an image at most, from 8. A tenth of them is a
            generation, of 4 to 400 candidates.
        seed: Of the search.

    Returns:
        (B, 3, H, W) uint8, the best candidates; an image that is wrong unchanged is unchanged.

    Raises:
        ValueError: A number is out of its range, or the model is in training mode.
    """
    check_mode(model)
    check_number("n", n, most=images[0, 0].numel())
    check_number("queries", queries, least=8)
    size = max(4, min(_LARGEST, queries // 10))
    ids = np.ascontiguousarray(image_ids, dtype=np.uint64)
    genes = torch.from_numpy(_first(ids, size, n, images.shape, seed)).to(images.device)
    fooled, _ = judge(model, images, labels)
    lead = torch.full((len(images), size), torch.inf, device=images.device)
    active = torch.nonzero(~fooled).squeeze(1)
    for generation in range(queries // size):
        if not len(active):
            break
        _evolve(model, images, labels, ids, genes, lead, active, generation, seed)
        active = active[(lead[active] >= 0).all(dim=1)]
    member = lead.argmin(dim=1)
    best = _changed(images, genes[torch.arange(len(images), device=images.device), member])
    return torch.where(wide(fooled), images, best)


def _evolve(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: UInt64,
    genes: Tensor,
    lead: Tensor,
    active: Tensor,
    generation: int,
    seed: int,
) -> None:
    """Ask for a generation of some images, and keep in `genes` and `lead` the children that win."""
    tried = genes[active]
    if generation:
        own = ids[active.cpu().numpy()]
        tried = _children(tried, own, seed, generation, images.shape)
    scores = _scores(model, images[active], tried, labels[active])
    better = scores < lead[active]
    genes[active] = torch.where(better[:, :, None, None], tried, genes[active])
    lead[active] = torch.where(better, scores, lead[active])


def _scores(model: nn.Module, images: Tensor, genes: Tensor, labels: Tensor) -> Tensor:
    """The lead of the true class under each candidate (B, size)."""
    members = genes.unbind(dim=1)
    leads = [judge(model, _changed(images, member), labels)[1] for member in members]
    return torch.stack(leads, dim=1).float()


def _first(ids: UInt64, size: int, n: int, shape: torch.Size, seed: int) -> Floats:
    """The first candidates (B, size, n, 5): row, column and three values of each pixel."""
    where, what = (image_keys(ids, seed, _STREAM + part) for part in range(2))
    draws = [random_words(where, size * n, word) for word in range(2)]
    draws += [random_words(what, size * n, word) for word in range(3)]
    unit = unit_floats(np.stack(draws, axis=-1))
    unit = unit.reshape(len(ids), size, n, 5)
    unit[..., :2] *= np.array(shape[2:])
    normal = torch.erfinv(torch.from_numpy(2 * unit[..., 2:] - 1)).numpy() * 2**0.5
    unit[..., 2:] = np.clip(128 + 127 * normal, 0, 255)
    return unit


def _children(
    parents: Tensor, ids: UInt64, seed: int, generation: int, shape: torch.Size
) -> Tensor:
    """A child for each parent, from three different candidates."""
    size = parents.shape[1]
    keys = image_keys(ids, seed, _STREAM + 1 + generation)
    first, second, third = (
        below(random_words(keys, size, word), np.uint64(size - word)) for word in range(3)
    )
    second = second + (second >= first)
    for taken in np.sort(np.stack([first, second]), axis=0):
        third = third + (third >= taken)
    rows = torch.arange(len(parents), device=parents.device)[:, None]
    mates = [
        parents[rows, torch.from_numpy(chosen).to(parents.device)]
        for chosen in (first, second, third)
    ]
    children = mates[0] + _DIFFERENTIAL * (mates[1] - mates[2])
    ends = torch.tensor([shape[2] - 1, shape[3] - 1, 255, 255, 255], device=parents.device)
    return torch.minimum(children.clamp(min=0), ends)


def _changed(images: Tensor, genes: Tensor) -> Tensor:
    """Images with the pixels (B, n, 5) of a candidate each; of two at one place the later stays."""
    changed, rows = images.clone(), torch.arange(len(images), device=images.device)
    for pixel in genes.unbind(dim=1):
        row, column = pixel[:, 0].long(), pixel[:, 1].long()
        changed[rows, :, row, column] = pixel[:, 2:].round().to(torch.uint8)
    return changed
