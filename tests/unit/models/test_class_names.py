"""How folders find their class."""

import pytest

from pixelproof.data.imagenet import imagenet_classes, wordnet_ids
from pixelproof.errors import DataError
from pixelproof.models.class_names import is_known, match_classes

IMAGENET = imagenet_classes()


def test_the_wordnet_ids_are_those_of_the_classes() -> None:
    from torchvision.datasets import Imagenette

    ids = wordnet_ids()
    assert len(ids) == len(set(ids)) == 1000
    assert list(ids) == sorted(ids)  # as ImageNet numbers its classes
    for identity, names in Imagenette._WNID_TO_CLASS.items():  # torchvision's own ten
        assert IMAGENET[ids.index(identity)] in names


@pytest.mark.parametrize(
    ("folders", "classes", "expected"),
    [
        (["b", "a"], ["a", "b", "c"], [1, 0]),
        (["golden_retriever", "Tench"], IMAGENET, [207, 0]),
        (["n02099601", "n01440764"], IMAGENET, [207, 0]),
        (["207", "000"], IMAGENET, [207, 0]),
        (["1", "0"], ["0", "1"], [1, 0]),
        (["1", "0"], ["1", "0"], [0, 1]),  # a name goes before an index
    ],
)
def test_one_way_for_all_folders(
    folders: list[str], classes: list[str], expected: list[int]
) -> None:
    assert match_classes(folders, classes) == expected


@pytest.mark.parametrize(
    ("folders", "classes", "words"),
    [
        (["good", "bad"], ["ok", "bad"], "the classes are ok, bad; no match for good"),
        (["tench", "golden retreiver"], IMAGENET, "did you mean 'golden retriever'?"),
        (["tench", "n02099601"], IMAGENET, "no match for n02099601"),
        (["3"], ["a", "b", "c"], "by index 0 to 2"),
        (["1", "01"], ["a", "b"], "one folder a class"),
        (["Scratch", "scratch"], ["scratch", "ok"], "one folder a class"),
        (["²"], ["a", "b", "c"], "no match for ²"),
    ],
)
def test_no_match_says_what_was_expected(
    folders: list[str], classes: list[str], words: str
) -> None:
    with pytest.raises(DataError, match="expected") as caught:
        match_classes(folders, classes)
    assert words in str(caught.value)


def test_a_number_is_not_known_by_itself() -> None:
    assert is_known("tench", IMAGENET)
    assert is_known("n01440764", IMAGENET)
    assert not is_known("0", IMAGENET)
