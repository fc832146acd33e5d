"""The answer: how often a model errs, for each number of changed pixels."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pixelproof.core.pixel_index import pixel_index
from pixelproof.core.statistics.intervals import Interval

About = Literal["images like these", "these images"]


@dataclass(frozen=True)
class Flip:
    """A change that makes the model wrong.

    Attributes:
        image: The name of the picture.
        row: Its number.
        n: Of the changed pixels.
        draw: Which draw.
        label: The right class.
        answer: What the model says of the changed image.
    """

    image: str
    row: int
    n: int
    draw: int
    label: str
    answer: str


@dataclass(frozen=True)
class Row:
    """How often the model errs with n changed pixels.

    Attributes:
        n: How many pixels were changed; 0 is the unchanged image.
        images: How many images.
        queries: How often the model was asked for them.
        wrong: How often it was wrong.
        error: The rate with its 95 % interval.
        about: What the interval is about: images like these, or these images alone.
        flipped: How many of the images it got wrong at all.
        pi: The Pixel-index with its bounds; None where nothing was changed.
        worst: Whether the pixels were searched, not drawn.
    """

    n: int
    images: int
    queries: int
    wrong: int
    error: Interval
    about: About
    flipped: int
    pi: Interval | None = None
    worst: bool = False


@dataclass(frozen=True)
class Score:
    """What came out.

    Attributes:
        model: What was scored.
        images: Where its images are.
        labels: Whether they have labels, or the model's own answers stand for them.
        preprocessing: What became of an image, in words.
        side: Of the images, in pixels.
        values: R.
        area: The side of the square that held the changes; None is the whole image.
        draws: Draws an image and n; None where their number differs.
        seed: Of the draws.
        clean: The errors on unchanged images; None without labels.
        rows: By n, drawn ones first.
        flips: Some changes that flip, the fewest pixels first.
        queries: How often the model was asked for an image.
        seconds: That it took.
        ended: Why it ended before it was done; None where it was done.
        notes: What one should know of it.
    """

    model: str
    images: str
    labels: bool
    preprocessing: str
    side: int
    values: str
    area: int | None
    draws: int | None
    seed: int
    clean: Row | None
    rows: tuple[Row, ...]
    flips: tuple[Flip, ...]
    queries: int
    seconds: float
    ended: str | None
    notes: tuple[str, ...]

    def row(self, n: int, worst: bool = False) -> Row:
        """The row of a number of pixels.

        Raises:
            KeyError: There is none.
        """
        for row in self.rows:
            if (row.n, row.worst) == (n, worst):
                return row
        raise KeyError(n)

    def above(self, pi: float) -> list[Row]:
        """The rows of random changes whose Pixel-index is above a limit."""
        return [row for row in self.rows if not row.worst and row.pi and row.pi.value > pi]

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""

        def plain(value: Any) -> Any:
            if isinstance(value, Interval):
                return value._asdict()
            if isinstance(value, Mapping):
                return {key: plain(each) for key, each in value.items()}
            if isinstance(value, Sequence) and not isinstance(value, str):
                return [plain(each) for each in value]
            return value

        content: dict[str, Any] = plain({key: getattr(self, key) for key in _TOLD})
        clean = None if self.clean is None else plain(vars(self.clean))
        rows = [plain(vars(row)) for row in self.rows]
        flips = [asdict(flip) for flip in self.flips]
        return {**content, "clean": clean, "rows": rows, "flips": flips}

    def as_csv(self) -> str:
        """A row a number of pixels, with the columns of `metrics/results.csv`."""
        drawn = "stuck" if self.values == "stuck" else "pixels"
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in ([self.clean] if self.clean else []) + list(self.rows):
            name = ("worst_" if row.worst else "") + drawn if row.n else "clean"
            setting = [row.n, self.values, self.area or self.side] if row.n else [0, "", ""]
            draws = self.draws if self.draws and not row.worst else ""
            counts = [row.images, draws if row.n else 1, row.queries, row.wrong]
            writer.writerow(
                [self.model, name, *setting, *counts, *row.error, *(row.pi or [""] * 3)]
            )
        return buffer.getvalue()


_TOLD = (
    "model", "images", "labels", "preprocessing", "side", "values", "area", "draws", "seed",
    "queries", "seconds", "ended", "notes",
)  # fmt: skip
COLUMNS = (
    "model", "experiment", "n", "values", "area", "images", "draws", "queries", "wrong",
    "error_rate", "error_low", "error_high", "pi", "pi_low", "pi_high",
)  # fmt: skip


def pi_of(error: Interval, n: int, side: int, values: str, area: int | None) -> Interval:
    """The Pixel-index with its bounds: it is linear in the rate."""
    return Interval(*(pixel_index(bound, n, side, values, area) for bound in error))
