"""The Pixel-index Pi: how readily a classifier errs, for the pixels that were changed."""

from pixelproof.core.pixel_changes import parse_values


def value_range(values: str) -> float:
    """The share r of the value range that a change may use (Equation 10).

    Args:
        values: `full` and `stuck` reach over the whole range; `offset:d` over 2 d of 255.

    Returns:
        r, above 0 and at most 2.

    Raises:
        ValueError: `values` is unknown.

    >>> value_range("full")
    1.0
    """
    kind, offset = parse_values(values)
    return 2 * offset / 255 if kind == "offset" else 1.0


def pixel_index(
    error_rate: float, n: int, side: int, values: str = "full", area: int | None = None
) -> float:
    """Pi = w / (p r a), Equation 7. The smaller, the more robust.

    It is compared at the same n, values and area only: it is no constant of a model. Neither
    p nor a is rounded, so that the paper's example gives 98.345 where it prints 98.30. Being
    linear in w, it carries the bounds of an interval of w over to bounds of Pi.

    Args:
        error_rate: w, the share of the images that are recognised wrongly, 0..1.
        n: How many pixels were changed, from 1.
        side: The side of the square image in pixels.
        values: R; see `draw_changes`.
        area: P, the side of the centred square that held the changes; None is the whole image.

    Returns:
        Pi, without a unit.

    Raises:
        ValueError: n, area or `values` is out of its range.

    >>> round(pixel_index(0.10, 64, 224, area=200), 5)  # Equations 8 to 12
    98.34496
    """
    box = side if area is None else area
    if not 1 <= box <= side or not 1 <= n <= box * box:
        raise ValueError(f"expected 1 <= area <= {side} and 1 <= n <= area², got {box} and {n}")
    p = n / side**2
    a = box**2 / side**2
    return error_rate / (p * value_range(values) * a)
