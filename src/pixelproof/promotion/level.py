"""At what level the gate tests that a challenger is better, and with what power.

Each challenger that is judged on the same held-out images is another chance to be promoted by luck.
So the level is spent over the looks: 5 % · 6 / (π² k²) at look k, which sums to 5 % however many
there are.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import special  # scipy.stats takes half a second to import

LEVEL = 0.05  # of all looks together
_HALF = 1.96  # standard errors from a figure to either bound of its 95 % interval


@dataclass(frozen=True)
class Look:
    """A look at the held-out images.

    Attributes:
        number: From 1: the earlier looks, each by the share of today's images that it used, and
            this one.
        power: The chance that a challenger with half the champion's errors is found to be better;
            None where nothing is known of the champion yet.
    """

    number: float = 1.0
    power: float | None = None

    @property
    def level(self) -> float:
        """At which it is tested, two-sided, whether the challenger is better."""
        return level_at(self.number)

    @property
    def words(self) -> str:
        """The look in words."""
        said = f"look {self.number:.3g} at these held-out images, at a level of {self.level:.2g}"
        if self.power is None:
            return f"{said}: not known before the champion is measured"
        return f"{said}: half the champion's errors are noticed with {100 * self.power:.0f} %"


def level_at(number: float) -> float:
    """The level of a look; that of all looks 1, 2, … together is `LEVEL`.

    >>> round(level_at(1), 4), round(level_at(10), 6)
    (0.0304, 0.000304)
    """
    return LEVEL * 6 / (math.pi * number) ** 2


def power_at(
    level: float, pi: Mapping[str, float], images: float = 1.0, parts: int | None = None
) -> float:
    """The chance that a challenger with half the champion's errors is found to be better.

    The challenger is thought to get right half of the images on which the champion errs, and to
    add none. Their difference then has 1/√2 of the champion's own standard error (0.66 to 0.70 on
    an earlier split of the demo's images), and normal theory does the rest; with parts Student's
    distribution does, and no power is left where not even all of their signs are rare enough.

    Args:
        level: Two-sided.
        pi: The champion's, or its error rate: `value`, `low` and `high` of a 95 % interval.
        images: How many times as many images there are now as when that was measured.
        parts: How many parts the images are of; None where each stands alone.
    """
    error = (pi["high"] - pi["low"]) / (2 * _HALF) / math.sqrt(2 * images)
    if pi["value"] <= 0 or error <= 0:  # who makes no errors cannot be bettered
        return 0.0
    expected = pi["value"] / 2 / error
    if parts is None:
        return float(special.ndtr(expected + special.ndtri(level / 2)))
    if least_level(parts) > level:
        return 0.0
    return float(special.stdtr(parts - 1, expected + special.stdtrit(parts - 1, level / 2)))


def least_level(parts: int) -> float:
    """The smallest level at which so many parts can show a difference, by all of their signs.

    >>> least_level(6)
    0.03125
    """
    return 2.0 ** (1 - parts)
