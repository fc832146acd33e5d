"""The images that a model gets right unchanged: read, answered, and told from the others."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelproof.core.counter_random import UInt64, image_keys
from pixelproof.data.image_set import image_id
from pixelproof.data.reading import strict_reading
from pixelproof.errors import DataError
from pixelproof.scoring.answers import Answers, Int64
from pixelproof.scoring.classes import Classes, settle
from pixelproof.scoring.pictures import Pictures
from pixelproof.scoring.plan import Meter, repeated
from pixelproof.scoring.result import Flip
from pixelproof.scoring.target import Target, UInt8

SAME = 1e-3  # how much two scores of one image may differ, of the range of the scores


@dataclass(frozen=True)
class Batch:
    """Images that were read and answered.

    Attributes:
        rows: (B,) their numbers among the pictures.
        ids: (B,) of their content.
        arrays: (B, 3, side, side) uint8.
        codes: (B,) the model's answers for the unchanged images.
        truth: (B,) the right answers.
        margins: (B,) by how much the answer leads; None where the model gives labels alone.
    """

    rows: Int64
    ids: UInt64
    arrays: UInt8
    codes: Int64
    truth: Int64
    margins: npt.NDArray[np.float64] | None

    @property
    def right(self) -> Int64:
        """Which of them the model gets right."""
        return np.flatnonzero(self.codes == self.truth)


@dataclass
class Subjects:
    """The pictures of a run, in a random order, and what was seen of them.

    Attributes:
        target: Answers.
        pictures: Are asked for.
        meter: Counts the queries.
        seed: Of the order, so that what a budget reaches is a random part of the pictures.
        classes: Of the model; known after the first batch.
        unreadable: What was wrong with the images that could not be read.
        copies: Images with the content of another.
    """

    target: Target
    pictures: Pictures
    meter: Meter
    seed: int
    classes: Classes | None = None
    unreadable: list[str] = field(default_factory=list)
    copies: int = 0
    seen: set[int] = field(default_factory=set)

    def order(self) -> Int64:
        """The rows of the pictures in a random order that depends on their number and the seed."""
        keys = image_keys(np.arange(len(self.pictures), dtype=np.uint64), self.seed, 0)
        return np.asarray(np.argsort(keys, kind="stable"), dtype=np.int64)

    def batches(self) -> Iterator[Batch]:
        """Read and answer the pictures as far as the budget goes, in any case one.

        A batch is read by several threads, then answered: reading makes errors of the warnings of
        the whole process, and the model may warn.

        Raises:
            DataError: No image can be read, or the model's answers are not what they must be.
        """
        order, at = self.order(), 0
        with ThreadPoolExecutor() as readers:
            while len(rows := order[at : at + max(self.meter.batch(), not at)]):
                at += len(rows)
                with strict_reading():
                    read = list(readers.map(self._read, rows.tolist()))
                rows, ids, arrays = self._distinct(rows, read)
                if len(rows):
                    yield self._answered(rows, ids, arrays)
        if self.classes is None:
            first = f"; the first: {self.unreadable[0]}" if self.unreadable else ""
            raise DataError(f"{self.pictures.source}: expected images, got none to read{first}")

    def codes(self, placed: Any) -> Int64:
        """The classes (B,) that the model answers for images that `target.place` has placed."""
        assert self.classes is not None, "`batches` has found them"
        answers = self.target.answer(placed)
        self.meter.spend(len(placed))
        return self.classes.codes(answers, self.target.source)

    def flip(self, row: int, n: int, draw: int, truth: int, code: int) -> Flip:
        """A flip, in the names of picture and classes."""
        assert self.classes is not None, "`batches` has found them"
        image = self.pictures.names[row]
        return Flip(image, row, n, draw, self.classes.name(truth), self.classes.name(code))

    def _read(self, row: int) -> tuple[int, UInt8] | str:
        """The id and the array of an image, or what is wrong with it."""
        try:
            array = self.pictures.read(row)
        except DataError as error:
            return str(error)
        return image_id(array), array

    def _distinct(
        self, rows: Int64, read: Sequence[tuple[int, UInt8] | str]
    ) -> tuple[Int64, UInt64, UInt8]:
        """The images that were read, but for copies: their draws would be the same."""
        kept, ids, arrays = [], [], []
        for row, image in zip(rows, read, strict=True):
            if isinstance(image, str):
                self.unreadable.append(image)
            elif image[0] in self.seen:
                self.copies += 1
            else:
                self.seen.add(image[0])
                kept.append(row)
                ids.append(image[0])
                arrays.append(image[1])
        stacked = np.stack(arrays) if arrays else np.empty((0,), np.uint8)
        return np.array(kept, dtype=np.int64), np.array(ids, dtype=np.uint64), stacked

    def _answered(self, rows: Int64, ids: UInt64, arrays: UInt8) -> Batch:
        target, labels = self.target, self.pictures.labels
        answers = target.answer(target.place(arrays))
        self.meter.spend(len(rows))
        if self.classes is None:
            self._check_again(arrays[: repeated(len(rows))], answers)
            self.classes = settle(target.classes, labels, answers, target.source)
        codes = self.classes.codes(answers, target.source)
        truth = codes
        if labels is not None:
            truth = self.classes.truth([labels[row] for row in rows])
        return Batch(rows, ids, arrays, codes, truth, leads(answers))

    def _check_again(self, arrays: UInt8, answers: Answers) -> None:
        """Ask for the first images once more: a model that changes its mind measures noise.

        They are asked for in another order and without the rest of their batch, so that an answer
        that depends on the other images, as in training mode, shows as well.
        """
        count = len(arrays)
        placed = self.target.place(np.ascontiguousarray(arrays[::-1]))
        again = self.target.answer(placed, again=True)
        self.meter.spend(count)
        if answers.scores is not None and again.scores is not None:
            before, after = answers.scores[:count], again.scores[::-1]
            same = before.shape == after.shape and bool(
                np.abs(before - after).max() <= SAME * max(float(np.ptp(before)), 1e-6)
            )
        elif answers.labels is not None and again.labels is not None:
            same = np.array_equal(answers.labels[:count], again.labels[::-1])
        else:
            same = (answers.names or ())[:count] == (again.names or ())[::-1]
        if not same:
            raise DataError(
                f"{self.target.source}: it answers the same images differently when it is asked "
                "again, so that changed pixels cannot be told from chance; is it in training "
                "mode, or does it draw at random?"
            )


def leads(answers: Answers) -> npt.NDArray[np.float64] | None:
    """By how much the first answer leads the second, (B,); None for labels alone."""
    if answers.scores is None:
        return None
    top = np.partition(answers.scores, -2, axis=1)[:, -2:].astype(np.float64)
    return np.asarray(top[:, 1] - top[:, 0])
