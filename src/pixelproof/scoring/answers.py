"""What models return, made one thing: scores or labels of each image, or names of classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelproof.errors import DataError, NumericalError

Int64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Answers:
    """A model's answers for B images; one of the three is there.

    Attributes:
        scores: (B, K) logits or probabilities, the largest is the answer.
        labels: (B,) int64, indices of classes.
        names: The names of classes.
    """

    scores: Floats | None = None
    labels: Int64 | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        for answers in (self.scores, self.labels, self.names):
            if answers is not None:
                return len(answers)
        return 0

    @property
    def kind(self) -> str:
        """What they are, in words."""
        if self.scores is not None:
            return f"scores of {self.scores.shape[1]} classes"
        return "labels" if self.labels is not None else "names of classes"


def join_answers(parts: Sequence[Answers]) -> Answers:
    """The answers of several batches as those of one.

    Raises:
        DataError: They are not of one kind.
    """
    if len({part.kind for part in parts}) > 1:
        kinds = ", ".join(sorted({part.kind for part in parts}))
        raise DataError(f"expected answers of one kind, got {kinds}")
    first = parts[0]
    if first.scores is not None:
        return Answers(scores=np.concatenate([part.scores for part in parts]))
    if first.labels is not None:
        return Answers(labels=np.concatenate([part.labels for part in parts]))
    return Answers(names=tuple(name for part in parts for name in part.names or ()))


def read_answers(output: Any, count: int, source: str) -> Answers:
    """Read what a model returned.

    Args:
        output: (count, K) scores; (count,) labels, whole numbers or names; a table with a column
            `prediction`, with one column, or with a column of scores a class; a list or a mapping
            of such; a tensor of any device.
        count: How many images it was asked for.
        source: Of the model, for errors.

    Raises:
        DataError: It is none of these, or of another number of images.
        NumericalError: A score is not finite.
    """
    array = _as_array(output)
    if array.ndim == 0 or len(array) != count:
        got = "none" if array.ndim == 0 else str(len(array))
        raise DataError(f"{source}: expected {count} answers for {count} images, got {got}")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
        if array.dtype.kind == "f":
            raise DataError(
                f"{source}: expected two or more scores an image, got one; return the scores of "
                "both classes, or labels as whole numbers"
            )
    if array.ndim == 1:
        return _labels(array, source)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DataError(
            f"{source}: expected scores (images, classes) or labels (images,), "
            f"got {array.dtype} {array.shape}"
        )
    if not np.isfinite(array).all():
        raise NumericalError(
            f"{source}: expected finite scores, got {array[~np.isfinite(array)][0]}; check its "
            "weights and what it expects of its input"
        )
    return Answers(scores=array if array.dtype.kind == "f" else array.astype(np.float64))


def _labels(array: npt.NDArray[Any], source: str) -> Answers:
    if array.dtype.kind in "biu":
        return Answers(labels=array.astype(np.int64))
    if array.dtype.kind == "f" and np.array_equal(array, np.rint(array)):
        return Answers(labels=array.astype(np.int64))  # as JSON and tables give whole numbers back
    if array.dtype.kind in "OUT" and all(isinstance(name, str) for name in array.tolist()):
        return Answers(names=tuple(map(str, array)))
    raise DataError(
        f"{source}: expected whole numbers or names of classes as labels, got {array.dtype}, "
        f"{array.tolist()[0]!r} first"
    )


def _as_array(output: Any) -> npt.NDArray[Any]:
    if hasattr(output, "columns") and hasattr(output, "to_numpy"):  # a table
        chosen = output["prediction"] if "prediction" in list(output.columns) else output
        return np.asarray(chosen.to_numpy())
    if isinstance(output, dict):
        chosen = output.get("prediction", next(iter(output.values()), None))
        return _as_array(chosen)
    if isinstance(output, list) and output and isinstance(output[0], dict):
        return _as_array([row.get("prediction", list(row.values())) for row in output])
    if hasattr(output, "detach"):  # a tensor
        kept = not output.dtype.is_floating_point or output.dtype.itemsize >= 4
        return np.asarray((output if kept else output.float()).detach().cpu().numpy())
    try:
        return np.asarray(output)
    except ValueError:  # rows of several lengths
        return np.asarray(None)
