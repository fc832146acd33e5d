"""Figures in words, the same wherever a person reads them."""

import math
from collections.abc import Mapping
from typing import Any

KINDS = {"stuck": "stuck pixels", "full": "changed pixels"}  # by the values of a grid


def share(n: int, side: int) -> str:
    """Which part of a square image n pixels are, in percent with two digits.

    >>> share(64, 128)
    '0.39 %'
    >>> share(256, 16)
    '100 %'
    """
    percent = 100 * n / side**2
    digits = max(0, 1 - math.floor(math.log10(percent))) if percent else 0
    return f"{percent:.{digits}f} %"


def pixels(n: int, side: int, values: str | None = None) -> str:
    """A number of changed pixels with their share of the image.

    >>> pixels(64, 128, "stuck")
    '64 stuck pixels (0.39 %)'
    """
    kind = KINDS.get(values, "changed pixels") if values else "pixels"
    return f"{n} {kind} ({share(n, side)})"


def reference(summary: Mapping[str, Any]) -> str:
    """The reference point of a summary in words."""
    point = summary["reference"]
    return pixels(point["n"], point["area"], point["values"])


def left_out(summary: Mapping[str, Any]) -> str:
    """How many images a model had seen, and of which models nobody has said what they have seen.

    >>> left_out({"left_out_as_seen": 3})
    '3 images were left out because a model had seen them.'
    >>> left_out({"left_out_as_seen": 0, "unknown_seen": ["mine"]}).partition(";")[2]
    ' unknown for mine, which may have seen others (baselines.NAME.seen declares it).'
    """
    words = f"{summary['left_out_as_seen']} images were left out because a model had seen them"
    if unknown := summary.get("unknown_seen"):
        words += f"; unknown for {', '.join(unknown)}, which may have seen others"
        words += " (baselines.NAME.seen declares it)"
    return f"{words}."


def percent(value: float) -> str:
    """A rate in percent, with one digit."""
    return f"{100 * value:.1f} %"


def bounded_percent(entry: Mapping[str, float]) -> str:
    """A rate in percent with its interval, without the sign."""
    return f"{100 * entry['value']:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"


def points(entry: Mapping[str, float], digits: int = 1) -> str:
    """A difference of rates in points with its interval, without the word."""
    value, low, high = (f"{100 * entry[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    return f"{value} [{low}, {high}]"
