"""The classes of a model and the labels of the images, made comparable."""

from collections.abc import Sequence

import numpy as np

from pixelproof.errors import DataError
from pixelproof.models.class_names import SHOWN, match_classes
from pixelproof.params.validation import nearest
from pixelproof.scoring.answers import Answers, Int64

IMAGENET = 1000


class Classes:
    """Names of classes by index, and the index of each label of the data.

    Attributes:
        names: By index. Names that only answers have are added as they come.
    """

    def __init__(self, names: Sequence[str], of_label: dict[str, int], open_ended: bool) -> None:
        """Use `settle`, which finds these."""
        self.names = list(names)
        self._of_label, self._open = of_label, open_ended
        self._index = {name: at for at, name in enumerate(self.names)}

    def truth(self, labels: Sequence[str]) -> Int64:
        """The indices of labels of the data."""
        return np.array([self._of_label[label] for label in labels], dtype=np.int64)

    def name(self, index: int) -> str:
        """What a class is called."""
        return self.names[index] if 0 <= index < len(self.names) else str(index)

    def codes(self, answers: Answers, source: str) -> Int64:
        """The index (B,) of the class that each answer names.

        Raises:
            DataError: An answer names no class of the model, or is of another kind than the first.
        """
        if answers.scores is not None:
            count = answers.scores.shape[1]
            if not self._open and count != len(self.names):
                raise DataError(
                    f"{source}: expected scores of {len(self.names)} classes, got {count}"
                )
            return np.asarray(answers.scores.argmax(axis=1), dtype=np.int64)
        if answers.labels is not None:
            wrong = answers.labels[answers.labels < 0]
            if not self._open:
                wrong = answers.labels[(answers.labels < 0) | (answers.labels >= len(self.names))]
            if len(wrong):
                raise DataError(
                    f"{source}: expected labels from 0 to {len(self.names) - 1}, got {wrong[0]}"
                )
            return answers.labels
        codes = [self._code(name, source) for name in answers.names or ()]
        return np.array(codes, dtype=np.int64)

    def _code(self, name: str, source: str) -> int:
        if name not in self._index:
            if not self._open:
                shown = ", ".join(self.names[:SHOWN]) + (" …" if self.names[SHOWN:] else "")
                raise DataError(
                    f"{source}: expected an answer among its classes {shown}; got {name!r}"
                    f"{nearest(name, self.names)}"
                )
            self._index[name] = len(self.names)
            self.names.append(name)
        return self._index[name]


def settle(
    known: Sequence[str] | None, labels: Sequence[str] | None, first: Answers, source: str
) -> Classes:
    """Find the classes of a model, and which of them each label of the data is.

    Args:
        known: The classes of the model by index, where they are known.
        labels: Of the data; None where there are none.
        first: The model's first answers.
        source: Of the model, for errors.

    Raises:
        DataError: The numbers of classes differ, or a label is none of the classes.
    """
    count = None if first.scores is None else first.scores.shape[1]
    folders = sorted(set(labels)) if labels is not None else []
    if known is not None and count not in (None, len(known)):
        raise DataError(f"{source}: expected scores of its {len(known)} classes, got {count}")
    if known is None and count == IMAGENET and folders != _numbers(count):
        from pixelproof.data.imagenet import imagenet_classes

        known = imagenet_classes()
    if known is None:
        return _unnamed(folders, count, first, source)
    try:
        indices = match_classes(folders, known) if folders else []
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    return Classes(known, dict(zip(folders, indices, strict=True)), open_ended=False)


def _numbers(count: int) -> list[str]:
    return sorted(map(str, range(count)))


def _unnamed(folders: list[str], count: int | None, first: Answers, source: str) -> Classes:
    """Classes that nobody has named: by the labels' own order, as torchvision's ImageFolder has it.

    Labels that are numbers are the indices themselves.
    """
    if first.names is not None or not folders:
        names = folders if count is None else [str(at) for at in range(count)]
        return Classes(names, {name: at for at, name in enumerate(folders)}, open_ended=True)
    if all(name.isascii() and name.isdecimal() for name in folders):
        most = max(map(int, folders))
        if count is not None and most >= count:
            raise DataError(f"{source}: expected labels below {count}, its classes, got {most}")
        names = [str(at) for at in range(max(most + 1, count or 0))]
        return Classes(names, {name: int(name) for name in folders}, open_ended=count is None)
    highest = None if first.labels is None else int(first.labels.max())
    if (count or len(folders)) != len(folders) or (highest or 0) >= len(folders):
        got = f"scores of {count}" if count else f"the label {highest}"
        raise DataError(
            f"{source}: expected the {len(folders)} classes of the images "
            f"({', '.join(folders[:SHOWN])}{' …' if folders[SHOWN:] else ''}), got {got}; name all "
            "classes of the model in their order with --classes"
        )
    return Classes(folders, {name: at for at, name in enumerate(folders)}, open_ended=False)
