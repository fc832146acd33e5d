"""One call to the answer: how often does this model err when a few pixels change?"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, TypedDict, Unpack

import numpy as np

from pixelproof.core.statistics.groups import Groups, as_groups
from pixelproof.core.statistics.intervals import rate_interval
from pixelproof.core.statistics.margin_sampling import relative_width
from pixelproof.errors import DataError, NumericalError, ParameterError
from pixelproof.params.validation import nearest
from pixelproof.scoring.answer_ledger import LedgerError
from pixelproof.scoring.draws import Flips, measure_draws, rows_of, without_pixels
from pixelproof.scoring.pictures import Pictures, pictures_for
from pixelproof.scoring.plan import Meter, Plan
from pixelproof.scoring.result import Row, Score
from pixelproof.scoring.subjects import Batch, Subjects
from pixelproof.scoring.target import Preprocessing, Target, TargetOptions
from pixelproof.scoring.targets import find_target
from pixelproof.scoring.until import Right, measure_until, right_of
from pixelproof.system.progress import progress

CHANCE = 1.5  # times the accuracy of a guess, below which the preprocessing is in doubt


class Settings(TypedDict, total=False):
    """What may be said beside model and images; the same as the options of the command line."""

    n: int | Sequence[int]
    """How many pixels change: one number or several, growing."""
    values: str
    """`stuck` (0 or 255 in all channels), `full` or `offset:d`."""
    area: int | None
    """The side of the centred square that holds the changes; None is the whole image."""
    draws: int
    """Random draws an image, at each n."""
    seed: int
    """Of the draws."""
    until: float | None
    """Stop when the 95 % interval has this relative half-width, 0.1 for ±10 %."""
    worst: int
    """How often a search for the worst pixels asks for an image at each n; 0: no search."""
    max_queries: int | None
    """The most images that the model is asked for."""
    max_seconds: float | None
    """The most seconds."""
    batch_size: int
    """The most images at once."""
    side: int | None
    """Of the images that the model takes, in pixels."""
    mean: tuple[float, ...] | None
    """What a torch module expects to be subtracted from images in [0, 1]."""
    std: tuple[float, ...] | None
    """What it expects the difference to be divided by."""
    classes: tuple[str, ...] | None
    """The names of the model's classes, in their order."""
    device: str
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    trust: bool
    """Load files that can run code."""


def score(
    model: Any, images: Any, labels: Sequence[Any] | None = None, **settings: Unpack[Settings]
) -> Score:
    """Measure how often a model errs when a few pixels of an image change.

    Args:
        model: A torch module in eval mode that takes normalised floats (B, 3, H, W), which is moved
            to the device that is set, to a GPU where there is one by default; a function
            from uint8 images (B, H, W, 3) to scores or labels; an object with such a method
            `predict`; or the name, file, folder or address of a model.
        images: (N, 3, H, W) or (N, H, W, 3) uint8; or a folder, a CSV file or a manifest.
        labels: Of an array, (N,): names or indices of classes. Without labels the model's own
            answers for the unchanged images stand for them.
        **settings: See `Settings`.

    Returns:
        The rates with their intervals and the Pixel-index of each n.

    Raises:
        ParameterError: An argument is not what it must be.
        DataError: The images or the model's answers are not what they must be.

    >>> import numpy as np
    >>> images = np.full((4, 16, 16, 3), 90, np.uint8)
    >>> images[:, 0, 0] = np.arange(4)[:, None]  # four images, not one four times
    >>> result = score(lambda batch: batch.max(axis=(1, 2, 3)) > 200, images, n=1, draws=8)
    >>> result.row(1).wrong  # a stuck pixel is hot in every second draw, about
    15
    """
    counts = settings.get("n", Plan.n)
    asked: dict[str, Any] = {
        **settings,
        "n": (counts,) if isinstance(counts, int) else tuple(counts),
    }
    plan, shape, options = (
        {field.name: asked.pop(field.name) for field in fields(kind) if field.name in asked}
        for kind in (Plan, Preprocessing, TargetOptions)
    )
    if asked:
        raise ParameterError(
            f"score: no setting {', '.join(asked)}{nearest(min(asked), Settings.__annotations__)}"
        )
    target = find_target(model, TargetOptions(Preprocessing(**shape), **options))
    pictures = pictures_for(target, images, labels)
    return score_target(target, pictures, Plan(**plan))


def score_target(target: Target, pictures: Pictures, plan: Plan) -> Score:
    """Measure a model on images.

    Args:
        target: The model; closed at the end.
        pictures: The images.
        plan: What to try, and what may be spent.

    Raises:
        ParameterError: The changes have no room in the images, or the model gives no scores for a
            search.
        DataError: The images or the model's answers are not what they must be.
        ServiceError: A server stops answering.
    """
    used = False
    try:
        plan.check_side(pictures.side)
        with progress(plan.total(len(pictures)), "score", "queries") as update:
            result = _measure(Subjects(target, pictures, Meter(plan, update), plan.seed), plan)
        used = result.ended is None
        return result
    except LedgerError:
        raise
    except (DataError, NumericalError) as error:
        used = True  # a repaired model is asked anew
        if not target.remedy:
            raise
        kind = NumericalError if isinstance(error, NumericalError) else DataError
        raise kind(f"{error}; {target.remedy}") from error
    finally:
        target.close(used)


def _measure(subjects: Subjects, plan: Plan) -> Score:
    flips, side, meter = Flips(), subjects.pictures.side, subjects.meter
    if plan.until is None:
        drawn, batches = measure_draws(subjects, plan, flips)
    else:
        drawn, batches = None, [without_pixels(batch) for batch in subjects.batches()]
    right = right_of(batches)
    _check_right(subjects, right, batches)
    groups = _groups(subjects.pictures, right)
    if drawn is None:
        rows = measure_until(subjects, plan, right, flips)
    else:
        rows = rows_of(drawn, plan, side, groups)
    if plan.worst and not meter.limit:
        if right.margins is None:
            raise ParameterError(
                f"{subjects.target.source}: expected scores for the search of the worst pixels, "
                "got labels alone"
            )
        from pixelproof.scoring.worst import measure_worst

        rows += measure_worst(subjects, plan, right, groups)
    return _result(subjects, plan, batches, rows, flips, None if drawn is None else drawn.draws)


def _check_right(subjects: Subjects, right: Right, batches: list[Batch]) -> None:
    """Check that there is an image to change."""
    if len(right.rows):
        return
    images, batch = sum(len(one.rows) for one in batches), batches[0]
    assert subjects.classes is not None, "there are batches"
    said, label = (subjects.classes.name(int(one[0])) for one in (batch.codes, batch.truth))
    raise DataError(
        f"{subjects.target.source}: expected a model that gets images right unchanged, got 0 of "
        f"{images}: of the first, {subjects.pictures.names[batch.rows[0]]}, it says {said!r}, its "
        f"label is {label!r}; check what it expects of its input and the order of its classes"
    )


def _groups(pictures: Pictures, right: Right) -> Groups:
    parts = pictures.parts
    return None if parts is None else as_groups(np.array([parts[row] for row in right.rows]))


def _clean(pictures: Pictures, batches: list[Batch]) -> Row | None:
    """The errors on the unchanged images."""
    if pictures.labels is None:
        return None
    rows = np.concatenate([batch.rows for batch in batches])
    wrong = np.concatenate([batch.codes != batch.truth for batch in batches])
    parts = pictures.parts
    groups = None if parts is None else as_groups(np.array([parts[row] for row in rows]))
    error, count = rate_interval(wrong[:, None], groups=groups), int(wrong.sum())
    return Row(0, len(rows), len(rows), count, error, "images like these", count)


def _result(
    subjects: Subjects,
    plan: Plan,
    batches: list[Batch],
    rows: list[Row],
    flips: Flips,
    draws: int | None,
) -> Score:
    target, pictures, meter = subjects.target, subjects.pictures, subjects.meter
    clean = _clean(pictures, batches)
    words = ", ".join(each for each in (pictures.words, target.words) if each)
    return Score(
        model=target.source,
        images=pictures.source,
        labels=pictures.labels is not None,
        preprocessing=words,
        side=pictures.side,
        values=plan.values,
        area=plan.area,
        draws=draws,
        seed=plan.seed,
        clean=clean,
        rows=tuple(rows),
        flips=tuple(flips.kept),
        queries=meter.queries,
        seconds=round(meter.seconds, 2),
        ended=_ended(subjects, plan, batches, rows, draws),
        notes=tuple(_notes(subjects, plan, batches, clean)),
    )


def _ended(
    subjects: Subjects, plan: Plan, batches: list[Batch], rows: list[Row], draws: int | None
) -> str | None:
    """What is missing, and what it was that ended the work; None where nothing is missing."""
    read = sum(len(batch.rows) for batch in batches) + subjects.copies + len(subjects.unreadable)
    missing = []
    if read < len(subjects.pictures):
        missing.append(f"{read:,} of {len(subjects.pictures):,} images")
    if draws is not None and draws < plan.draws:
        missing.append(f"{draws} of {plan.draws} draws")
    drawn = [row for row in rows if not row.worst]
    if len(drawn) < len(plan.n):
        missing.append(f"{len(drawn)} of {len(plan.n)} numbers of pixels")
    if plan.until is not None:
        wide = [row.n for row in drawn if relative_width(row.error) > plan.until]
        if wide:
            missing.append(f"an interval wider than asked for at n = {', '.join(map(str, wide))}")
    if plan.worst and len(rows) - len(drawn) < len(plan.n):
        missing.append(f"the worst pixels at {len(rows) - len(drawn)} of {len(plan.n)} numbers")
    if not missing:
        return None
    limit = subjects.meter.limit or _nearest_limit(plan)
    return f"{limit} bought {' and '.join(missing)}"


def _nearest_limit(plan: Plan) -> str:
    """The limit that has no room for what comes next."""
    if plan.max_queries is None:
        return f"the limit of {plan.max_seconds:g} seconds"
    if plan.max_seconds is None:
        return f"the limit of {plan.max_queries:,} queries"
    return f"the limit of {plan.max_queries:,} queries or {plan.max_seconds:g} seconds"


def _notes(
    subjects: Subjects, plan: Plan, batches: list[Batch], clean: Row | None
) -> Iterator[str]:
    """What one should know of the result."""
    target, pictures = subjects.target, subjects.pictures
    if pictures.labels is None:
        yield "no labels: the model's own answer for each unchanged image stands for its label"
    if pictures.note:
        yield pictures.note
    classes = 0 if subjects.classes is None else len(subjects.classes.names)
    if clean and classes and 1 - clean.error.value < CHANCE / classes:
        yield (
            f"right in {100 * (1 - clean.error.value):.1f} % of the unchanged images, about as "
            "often as a guess: does the model expect another input, or other classes?"
        )
    if subjects.unreadable:
        count, first = len(subjects.unreadable), subjects.unreadable[0]
        yield f"{count} images could not be read and are left out; the first: {first}"
    if subjects.copies:
        yield f"{subjects.copies} copies of other images are left out"
    if plan.until is not None and batches[0].margins is None:
        yield "the model gives labels alone: no image is asked for more because of its margin"
    if target.kept:
        yield target.kept
