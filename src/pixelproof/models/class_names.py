"""Folders of images are matched to the classes of a classifier: by name, WordNet id or index."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from pixelproof.data.imagenet import imagenet_classes, wordnet_ids
from pixelproof.errors import DataError
from pixelproof.params.validation import nearest

SHOWN = 10


def _plain(name: str) -> str:
    """A name as people write it in one way or another: Golden_Retriever, golden retriever."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _number(name: str) -> str:
    return str(int(name)) if name.isdecimal() and name.isascii() else name


def _ways(
    classes: Sequence[str], by_index: bool
) -> Iterator[tuple[Mapping[str, int], Callable[[str], str]]]:
    """Each way to name the classes: their indices by that name, and how a folder is spelled."""
    yield {name: at for at, name in enumerate(classes)}, str
    plain = [_plain(name) for name in classes]
    yield {name: at for at, name in enumerate(plain) if plain.count(name) == 1}, _plain
    if len(classes) == len(wordnet_ids()) and tuple(classes) == imagenet_classes():
        yield {name: at for at, name in enumerate(wordnet_ids())}, str
    if by_index:
        yield {str(at): at for at in range(len(classes))}, _number


def match_classes(
    folders: Sequence[str], classes: Sequence[str], by_index: bool = True
) -> list[int]:
    """The index of the class that each folder holds images of.

    All folders are matched in one way: by the class's name; by its name in other letters (case,
    underscores, hyphens); by its WordNet id, where the classes are the thousand of ImageNet; or
    by its index.

    Args:
        folders: The names of the data's classes.
        classes: The classifier's, by index.
        by_index: Whether a number may stand for a class.

    Returns:
        Indices into `classes`, one a folder.

    Raises:
        DataError: In no way do all folders have a class, or two have the same one; lists what
            was expected.
    """
    unmatched = list(folders)
    for known, spell in _ways(classes, by_index):
        missing = [folder for folder in folders if spell(folder) not in known]
        if not missing:
            indices = [known[spell(folder)] for folder in folders]
            if len(set(indices)) < len(indices):
                twice = [f for f, at in zip(folders, indices, strict=True) if indices.count(at) > 1]
                raise DataError(f"expected one folder a class, got {twice} for the same one")
            return indices
        unmatched = min(unmatched, missing, key=len)
    shown = ", ".join(classes[:SHOWN]) + (f" … ({len(classes)})" if len(classes) > SHOWN else "")
    got = ", ".join(unmatched[:SHOWN]) + (f" … ({len(unmatched)})" if unmatched[SHOWN:] else "")
    raise DataError(
        f"expected folders named by class, by WordNet id (ImageNet) or by index 0 to "
        f"{len(classes) - 1}; the classes are {shown}; no match for {got}"
        f"{nearest(unmatched[0], classes)}"
    )


def is_known(folder: str, classes: Sequence[str]) -> bool:
    """Whether a folder has a class by name or WordNet id."""
    try:
        match_classes([folder], classes, by_index=False)
    except DataError:
        return False
    return True
