"""A paired difference of rates with its exact bootstrap interval and exact sign-flip test.

With D draws an image, the difference of two models on an image is a multiple of 1/D, so both
distributions live on a lattice and follow from their characteristic functions. No resample is
drawn, and levels far below one in the number of resamples can be tested.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pixelproof.core.statistics.differences import Difference, check_pair, none_differs
from pixelproof.core.statistics.groups import Floats, Groups, mean_interval, totals

Int64 = npt.NDArray[np.int64]


def exact_sign_flip(gaps: Int64) -> float:
    """Two-sided permutation test that paired differences centre on zero, over all sign patterns.

    Args:
        gaps: (images,) whole numbers, one an image.

    Returns:
        In (0, 1]: the share of patterns at least as extreme as the observed; about 1e-13 at least.

    >>> round(exact_sign_flip(np.array([1, 1, 2, 0])), 12)
    0.25
    """
    sizes, counts = np.unique(np.abs(gaps[gaps != 0]), return_counts=True)
    most = int(sizes @ counts)
    if most == 0:
        return 1.0
    angles = 2 * np.pi * np.arange(2 * most + 1) / (2 * most + 1)
    transformed = np.prod(np.cos(np.outer(sizes, angles)) ** counts[:, None], axis=0)
    chances = _lattice(transformed.astype(np.complex128), most)
    sums = np.arange(-most, most + 1)
    extreme = np.abs(sums) >= abs(int(gaps.sum()))
    return float(np.clip(chances[extreme].sum(), 1e-13, 1.0))


def exact_bootstrap(gaps: Int64, confidence: float) -> tuple[float, float]:
    """The percentile interval of a mean over all resamples of the images.

    Args:
        gaps: (images,) whole numbers, one an image.
        confidence: Between 0 and 1.

    Returns:
        The bounds.
    """
    images, size = len(gaps), int(np.abs(gaps).max())
    values, counts = np.unique(gaps, return_counts=True)
    most = images * size
    angles = 2 * np.pi * np.arange(2 * most + 1) / (2 * most + 1)
    # Summed value by value: their outer product would not fit where there are many images.
    one = sum(
        count / images * np.exp(1j * value * angles)
        for value, count in zip(values, counts, strict=True)
    )
    below = np.cumsum(_lattice(np.asarray(one) ** images, most))
    tail = (1 - confidence) / 2
    low, high = np.searchsorted(below, [tail, 1 - tail])
    return (int(low) - most) / images, (int(high) - most) / images


def _lattice(transformed: npt.NDArray[np.complex128], most: int) -> Floats:
    """The chances of the sums from -most to most, from their characteristic function."""
    chances = np.fft.fft(transformed).real / len(transformed)
    return np.clip(np.roll(chances, most), 0.0, None)


def exact_paired_difference(
    wrong: npt.NDArray[Any],
    other: npt.NDArray[Any],
    confidence: float = 0.95,
    groups: Groups = None,
) -> Difference:
    """How much more often one model is wrong than another, on the same images and draws.

    As `differences.paired_difference`, by image, but over all resamples and all sign patterns.

    Args:
        wrong: (images, draws) of the model: true or false.
        other: (images, draws) of the other model.
        confidence: Between 0 and 1.
        groups: Of the images: then Student's interval over groups where that is wider, and signs
            of whole groups.

    Returns:
        The difference of the rates (this model minus the other) with its bounds and p-value.

    Raises:
        ValueError: The shapes differ or are empty.
    """
    check_pair(wrong, other)
    images, draws = wrong.shape
    gaps = wrong.sum(axis=1, dtype=np.int64) - other.sum(axis=1, dtype=np.int64)
    if not gaps.any():
        return none_differs(images, confidence)
    value = float(gaps.sum()) / (images * draws)
    low, high = (bound / draws for bound in exact_bootstrap(gaps, confidence))
    if groups is None:
        return Difference(value, low, high, exact_sign_flip(gaps))
    least, most = mean_interval(gaps / draws, groups, confidence)
    moved = np.rint(totals(gaps.astype(float), groups)).astype(np.int64)
    bounds = max(-1.0, min(low, least)), min(1.0, max(high, most))
    return Difference(value, *bounds, exact_sign_flip(moved))
