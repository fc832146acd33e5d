"""Groups of images: cells of one module, frames of one recording, photographs of one part.

Such images are alike, so that many of them tell less than as many that were taken apart. Where
groups are given, the group is the unit: the variance of a rate is that of the groups' totals
(linearised, Kish 1965), with as many degrees of freedom as there are groups but one.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Groups = npt.NDArray[np.int64] | None  # (images,) from 0 without gaps; None: each image is alone
Floats = npt.NDArray[np.floating[Any]]


def as_groups(names: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The groups of images by the names of their groups, (images,)."""
    _, codes = np.unique(names, return_inverse=True)
    return np.asarray(codes, dtype=np.int64)


def totals(values: Floats, groups: npt.NDArray[np.int64]) -> Floats:
    """The sum of (images,) values in each group."""
    return np.asarray(np.bincount(groups, weights=values), dtype=np.float64)


def degrees(images: int, groups: Groups) -> int:
    """By how many degrees of freedom a variance is known, from 1."""
    count = images if groups is None else int(groups.max()) + 1
    return max(1, count - 1)


def mean_variance(values: Floats, groups: npt.NDArray[np.int64]) -> float:
    """The variance of the mean of (images,) values; infinite where there is one group alone."""
    moved = totals(values - values.mean(), groups)
    if len(moved) < 2:
        return float("inf")
    return float((moved**2).sum()) * len(moved) / (len(moved) - 1) / len(values) ** 2


def mean_interval(
    values: Floats, groups: npt.NDArray[np.int64], confidence: float
) -> tuple[float, float]:
    """Student's interval of the mean of (images,) values, unbounded where there is one group."""
    error = mean_variance(values, groups) ** 0.5
    half = float(special.stdtrit(degrees(len(values), groups), 0.5 + confidence / 2)) * error
    mean = float(values.mean())
    return mean - half, mean + half
