"""The difference of two methods, each trained several times, over images and seeds."""

import numpy as np
import numpy.typing as npt
from scipy import special

from pixelproof.core.statistics.differences import Difference, paired_proportions_interval
from pixelproof.core.statistics.groups import Floats, Groups, totals


def repeated_difference(
    first: npt.NDArray[np.bool_],
    second: npt.NDArray[np.bool_],
    confidence: float = 0.95,
    groups: Groups = None,
) -> Difference:
    """The difference of two methods' error rates, with an interval over images and seeds.

    Seeds and images are crossed: every model is asked about the same images. The variance of the
    mean is that of seeds plus that of images minus what both have in common, each by its mean
    square, and the interval is Student's at Satterthwaite's degrees of freedom (Satterthwaite 1946,
    "An approximate distribution of estimates of variance components"). Resampling the seeds, of
    which there are few, makes the interval too narrow; `benchmarks/coverage.py` has both.

    Args:
        first: (seeds, images, draws) of which draws the models of the first method get wrong.
        second: The same of the second; the model of a seed was trained with the same seed.
        confidence: Between 0 and 1.
        groups: Of the images, which then take the images' place.

    Returns:
        First minus second, its interval, and the p-value of no difference.

    Raises:
        ValueError: The shapes differ, or there are fewer than two seeds or images.
    """
    if first.shape != second.shape or first.ndim != 3 or min(first.shape[:2]) < 2:
        raise ValueError(
            "expected two arrays (seeds, images, draws) of at least two seeds and images, got "
            f"{first.shape} and {second.shape}"
        )
    gaps = first.mean(axis=2) - second.mean(axis=2)
    value, images = float(gaps.mean()), gaps.shape[1]
    if groups is not None:
        if groups.max() == 0:  # one part says nothing of others
            return Difference(value, -1.0, 1.0, 1.0)
        moved = np.stack([totals(seed, groups) for seed in gaps - value])
        gaps = value + moved * moved.shape[1] / images  # whose mean is that of the images
    variance, freedom = _crossed_variance(gaps)
    if variance == 0:
        least, most = paired_proportions_interval(0, 0, images, confidence)
        return Difference(value, max(-1.0, value + least), min(1.0, value + most), 1.0)
    deviation = variance**0.5
    half = float(special.stdtrit(freedom, 0.5 + confidence / 2)) * deviation
    p_value = 2 * float(special.stdtr(freedom, -abs(value) / deviation))
    return Difference(value, max(-1.0, value - half), min(1.0, value + half), p_value)


def _crossed_variance(gaps: Floats) -> tuple[float, float]:
    """The variance of the mean of (seeds, images) values, and its degrees of freedom."""
    seeds, images = gaps.shape
    by_seed, by_image = gaps.mean(axis=1), gaps.mean(axis=0)
    rest = gaps - by_seed[:, None] - by_image + gaps.mean()
    squares = {
        "seeds": (images * float(by_seed.var(ddof=1)), seeds - 1),
        "images": (seeds * float(by_image.var(ddof=1)), images - 1),
        "rest": (float((rest**2).sum()) / ((seeds - 1) * (images - 1)), (seeds - 1) * (images - 1)),
    }
    mean = {name: square for name, (square, _) in squares.items()}
    # Never below either alone: the part in common is an estimate, too.
    total = max(mean["seeds"] + mean["images"] - mean["rest"], mean["seeds"], mean["images"])
    if total <= 1e-18:  # no two models and no two images differ
        return 0.0, 1.0
    freedom = total**2 / sum(square**2 / degrees for square, degrees in squares.values())
    return total / gaps.size, freedom
