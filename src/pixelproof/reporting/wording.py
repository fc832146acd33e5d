"""Rates, intervals and differences in words: the same on the page, the terminal and at the gate."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelproof.core.statistics.differences import Difference

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


def parts(summary: Mapping[str, Any]) -> str:
    """Of how many parts the held-out images are, in a sentence; nothing where they stand alone.

    >>> parts({"held_out_parts": 12})
    ' They are of 12 parts, which the intervals count.'
    >>> parts({})
    ''
    """
    count = summary.get("held_out_parts")
    return f" They are of {count} parts, which the intervals count." if count else ""


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


def percent(rate: float, digits: int = 1) -> str:
    """A rate in percent.

    >>> percent(0.0783)
    '7.8 %'
    """
    return f"{100 * rate:.{digits}f} %"


def small_percent(rate: float) -> str:
    """A rate in percent, with two digits where it is below a tenth.

    >>> [small_percent(rate) for rate in (0.0783, 0.783)]
    ['7.83 %', '78.3 %']
    """
    return percent(rate, 2 if abs(rate) < 0.1 else 1)


def bounds(low: float, high: float, digits: int = 2, sign: str = "") -> str:
    """The bounds of an interval.

    >>> bounds(-1, 2.5, digits=1, sign="+")
    '[-1.0, +2.5]'
    """
    return f"[{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def interval(value: float, low: float, high: float, *, digits: int = 2, sign: str = "") -> str:
    """An estimate with the bounds of its interval.

    >>> interval(4.971, 3.68, 6.684)
    '4.97 [3.68, 6.68]'
    """
    return f"{value:{sign}.{digits}f} {bounds(low, high, digits, sign)}"


def estimate(entry: Mapping[str, float], digits: int = 2) -> str:
    """An entry of `summary.json` with its interval, as `interval` has it."""
    return interval(entry["value"], entry["low"], entry["high"], digits=digits)


def bounded_percent(entry: Mapping[str, float], digits: int = 1) -> str:
    """A rate in percent with its interval, without the sign."""
    return interval(*(100 * entry[key] for key in ("value", "low", "high")), digits=digits)


def points(entry: Mapping[str, float], digits: int = 1) -> str:
    """A difference of rates in points with its interval, without the word."""
    return in_points(entry["difference"], entry["low"], entry["high"], digits=digits)


def percent_interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """A rate in percent with the bounds of its interval.

    >>> percent_interval(0.884, 0.853, 0.911)
    '88.4 % [85.3, 91.1]'
    """
    return f"{percent(value, digits)} {bounds(100 * low, 100 * high, digits)}"


def p_value(p: float) -> str:
    """A p-value with two digits.

    >>> p_value(0.0312)
    '0.031'
    """
    return f"{p:.2g}"


def in_points(value: float, low: float, high: float, digits: int = 1) -> str:
    """A difference of rates in points with its interval, without the word.

    >>> in_points(-0.043, -0.061, -0.027)
    '-4.3 [-6.1, -2.7]'
    """
    return interval(100 * value, 100 * low, 100 * high, digits=digits, sign="+")


def with_p_value(difference: "Difference") -> str:
    """A difference of rates in points, with its interval and p-value.

    >>> from pixelproof.core.statistics.differences import Difference
    >>> with_p_value(Difference(-0.043, -0.061, -0.027, 0.0001))
    '-4.30 points [-6.10, -2.70], p = 0.0001'
    """
    shown = bounds(100 * difference.low, 100 * difference.high, sign="+")
    return f"{100 * difference.value:+.2f} points {shown}, p = {p_value(difference.p_value)}"


def margin(share_of_all: float) -> str:
    """What the gate allows, in points.

    >>> margin(0.03)
    '3 points'
    """
    return f"{100 * share_of_all:g} points"
