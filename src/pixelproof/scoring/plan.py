"""What is asked for: which changes, how many of them, and for how much."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pixelproof.core.pixel_changes import parse_values
from pixelproof.core.pixel_index import pixel_index
from pixelproof.errors import ParameterError

MAX_QUERIES = 100_000  # of a run that nobody has limited
SEARCHED = 32  # images whose worst pixels are searched at most
REPEATED = 8  # images that are asked for twice, at most
FIRST_ROUND = 500  # queries that tell which images are worth more


@dataclass(frozen=True)
class Plan:
    """Which changes are tried on each image, and what may be spent.

    Attributes:
        n: The numbers of changed pixels, growing.
        values: R, `stuck`, `full` or `offset:d`; see `draw_changes`.
        area: The side of the centred square that holds them; None is the whole image.
        draws: Random draws an image, at each n.
        seed: Of the draws.
        batch_size: The most images that a local model is asked for at once.
        until: The relative half-width of the 95 % interval at which to stop, 0.1 for ±10 %; asks
            for a limit beside it. None: `draws` draws of each image.
        worst: How often a search for the worst pixels asks for an image at each n; 0: no search.
        max_queries: The most images that the model is asked for, unchanged ones too; None: no
            limit.
        max_seconds: None: no limit.
    """

    n: tuple[int, ...] = (4, 16, 64, 256)
    values: str = "stuck"
    area: int | None = None
    draws: int = 8
    seed: int = 0
    batch_size: int = 64
    until: float | None = None
    worst: int = 0
    max_queries: int | None = MAX_QUERIES
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        try:
            parse_values(self.values)
        except ValueError as error:
            raise ParameterError(f"values: {error}") from None
        least = {"draws": self.draws, "batch size": self.batch_size}
        for name, number in least.items():
            if number < 1:
                raise ParameterError(f"{name}: expected a number from 1, got {number}")
        if self.seed < 0 or self.worst < 0:
            raise ParameterError("expected a seed and queries from 0")
        if not self.n or self.n[0] < 1 or list(self.n) != sorted(set(self.n)):
            raise ParameterError(f"n: expected growing numbers from 1, got {list(self.n)}")
        if self.until is not None and not 0 < self.until < 1:
            raise ParameterError(f"until: expected a share between 0 and 1, got {self.until:g}")
        limits = {"queries": self.max_queries, "seconds": self.max_seconds}
        for name, most in limits.items():
            if most is not None and not 0 < most < math.inf:
                raise ParameterError(f"max {name}: expected a number above 0, got {most}")
        if self.until is not None and set(limits.values()) == {None}:
            raise ParameterError(
                "until: expected a limit of queries or seconds beside it, got none: where nothing "
                "flips, no interval is narrow enough"
            )

    def check_side(self, side: int) -> None:
        """Check that the changes have room in images of a side.

        Raises:
            ParameterError: They have not.
        """
        try:
            pixel_index(0.0, self.n[-1], side, self.values, self.area)
        except ValueError as error:
            raise ParameterError(f"n, area: {error}, on images of side {side}") from None

    @property
    def queries_an_image(self) -> int:
        """The most queries for an image as it is read: unchanged; without `until` changed, too."""
        return 1 if self.until else 1 + self.draws * len(self.n)

    def cost(self, images: int) -> int:
        """The most queries for a number of images, some twice; with `until`, for unchanged ones."""
        again = repeated(min(images, self.batch_size))
        return images * self.queries_an_image + again

    def total(self, images: int) -> int:
        """About how many queries a run takes, for its progress."""
        if self.until is not None and self.max_queries is not None:
            return self.max_queries
        total = self.cost(images) + self.worst * min(images, SEARCHED) * len(self.n)
        return total if self.max_queries is None else min(total, self.max_queries)


def repeated(images: int) -> int:
    """How many images of a first batch are asked for twice: too few to be the same batch again."""
    return min(REPEATED, max(1, images // 2))


class End(NamedTuple):
    """Where a budget, or a share of it, is used up; infinite where there is no limit."""

    queries: float
    seconds: float


class Meter:
    """How much was spent, and how much is left."""

    def __init__(self, plan: Plan, update: Callable[[int], object] = lambda amount: None) -> None:
        """Start the clock.

        Args:
            plan: With the limits.
            update: Called with the number of queries done.
        """
        self.plan, self.update = plan, update
        self.queries = 0
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def spend(self, queries: int) -> None:
        """Count queries that were answered."""
        self.queries += queries
        self.update(queries)

    def share(self, parts: int) -> End:
        """The end of the first of equal parts of what is left."""
        plan, now = self.plan, End(self.queries, self.seconds)
        queries = None if plan.max_queries is None else plan.max_queries - now.queries
        seconds = None if plan.max_seconds is None else plan.max_seconds - now.seconds
        return End(
            math.inf if queries is None else now.queries + math.ceil(queries / parts),
            math.inf if seconds is None else now.seconds + seconds / parts,
        )

    def affordable(self, queries: int, end: End | None = None) -> int:
        """As many of these queries as the budget allows, by the rate of those so far.

        Args:
            queries: That are wished for.
            end: Of a share of the budget; None is the end of the whole.
        """
        end = end or self.share(1)
        left = max(0.0, end.seconds - self.seconds)
        if math.isfinite(left):
            rate = self.queries / self.seconds if self.queries else float(self.plan.batch_size)
            queries = min(queries, int(rate * left))
        return max(0, int(min(queries, end.queries - self.queries)))

    def batch(self) -> int:
        """How many images the next batch may have."""
        size, price = self.plan.batch_size, self.plan.queries_an_image
        again = 0 if self.queries else repeated(size)  # only images of the first batch
        return max(0, self.affordable(size * price + again) - again) // price

    @property
    def limit(self) -> str | None:
        """Which limit is reached, in words."""
        plan = self.plan
        if plan.max_queries is not None and self.queries >= plan.max_queries:
            return f"the limit of {plan.max_queries:,} queries"
        if plan.max_seconds is not None and self.seconds >= plan.max_seconds:
            return f"the limit of {plan.max_seconds:g} seconds"
        return None
