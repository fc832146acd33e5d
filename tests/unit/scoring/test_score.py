"""The counts, checked by hand; budgets; and what a bad model or bad images lead to: one line."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

import pixelproof
from pixelproof.core.pixel_changes import apply_changes, draw_changes
from pixelproof.core.pixel_index import pixel_index
from pixelproof.data.image_set import image_id
from pixelproof.errors import DataError, NumericalError, ParameterError
from pixelproof.scoring.pictures import pictures_for
from pixelproof.scoring.plan import Plan
from pixelproof.scoring.score import score
from pixelproof.scoring.target import Target
from tests.support import scored

Batch = npt.NDArray[np.uint8]
IMAGES = scored.images()
TRUTH = scored.truth(IMAGES)


def by_hand(n: int, draws: int, seed: int, values: str, area: int | None = None) -> int:
    """The wrong draws of all images, by the functions of the pipeline."""
    ids = np.array([image_id(image) for image in IMAGES], np.uint64)
    wrong = 0
    for draw in range(draws):
        shape = (scored.SIDE, scored.SIDE)
        changes = draw_changes(ids, n, shape, seed=seed, draw=draw, values=values, area=area)
        said = scored.truth(apply_changes(IMAGES, changes))
        wrong += sum(one != right for one, right in zip(said, TRUTH, strict=True))
    return wrong


@pytest.mark.parametrize(("values", "area"), [("stuck", None), ("full", 8), ("offset:220", None)])
@pytest.mark.parametrize("batch_size", [5, 64])
def test_draws_are_those_of_the_pipeline(values: str, area: int | None, batch_size: int) -> None:
    asked: Any = {"n": (8, 40), "draws": 3, "seed": 7, "values": values, "area": area}
    result = score(
        scored.scores, IMAGES, TRUTH, batch_size=batch_size, **asked, classes=scored.CLASSES
    )
    for n in (8, 40):
        row = result.row(n)
        assert row.wrong == by_hand(n, 3, 7, values, area)
        assert row.queries == 3 * len(IMAGES)
        assert row.error.value == row.wrong / row.queries
        assert row.pi is not None
        assert row.pi.value == pixel_index(row.error.value, n, scored.SIDE, values, area)
        assert row.error.low <= row.error.value <= row.error.high
    assert result.row(40).wrong > 0
    assert result.ended is None


def test_only_images_that_are_right_unchanged_are_changed() -> None:
    labels = ["mixed"] * len(IMAGES)
    result = score(scored.scores, IMAGES, labels, n=8, draws=2, classes=scored.CLASSES)
    assert result.clean is not None
    assert result.row(8).images == TRUTH.count("mixed") == len(IMAGES) - result.clean.wrong


def test_without_labels_the_own_answers_stand_for_them() -> None:
    result = score(scored.scores, IMAGES, n=8, draws=2)
    assert (result.labels, result.clean) == (False, None)
    assert "own answer" in result.notes[0]
    assert (
        result.row(8).wrong
        == score(scored.scores, IMAGES, TRUTH, n=8, draws=2, classes=scored.CLASSES).row(8).wrong
    )


@pytest.mark.parametrize("form", [torch.tensor, np.array, list, tuple])
def test_labels_come_in_any_form(form: Callable[[Any], Any]) -> None:
    indices = [scored.CLASSES.index(name) for name in TRUTH]
    asked: Any = {"n": 8, "draws": 2}
    expected = score(scored.scores, IMAGES, TRUTH, **asked, classes=scored.CLASSES)
    assert score(scored.scores, IMAGES, form(indices), **asked).rows == expected.rows
    tensors = [torch.tensor(index) for index in indices]
    assert score(scored.scores, IMAGES, tensors, **asked).rows == expected.rows


@pytest.mark.parametrize(
    "labels", [torch.zeros(24), [None] * 24, np.zeros((24, 3), int), [[1]] * 24]
)
def test_labels_of_another_kind_are_one_line(labels: Any) -> None:
    with pytest.raises(ParameterError, match="labels: expected names or indices of classes, got"):
        score(scored.scores, IMAGES, labels)


def test_a_flip_is_one() -> None:
    result = score(scored.scores, IMAGES, TRUTH, n=(8, 40), draws=3, classes=scored.CLASSES)
    assert result.flips
    for flip in result.flips:
        image = IMAGES[[flip.row]]
        ids = np.array([image_id(image[0])], np.uint64)
        shape = (scored.SIDE, scored.SIDE)
        changes = draw_changes(ids, flip.n, shape, seed=0, draw=flip.draw, values="stuck")
        assert scored.truth(apply_changes(image, changes)) == [flip.answer]
        assert flip.label == TRUTH[flip.row] != flip.answer


@pytest.mark.parametrize("model", [scored.scores, scored.labels, scored.network()])
def test_until_stops_at_the_width(model: Any) -> None:
    settings: Any = {"n": (4, 40), "until": 0.1, "device": "cpu"}
    if isinstance(model, torch.nn.Module):
        settings |= {"mean": (scored.MEAN,), "std": (scored.STD,)}
    result = score(model, IMAGES, TRUTH, **settings, classes=scored.CLASSES)
    assert result.ended is None
    many = score(
        scored.scores, IMAGES, TRUTH, n=(4, 40), draws=400, max_queries=None, classes=scored.CLASSES
    )
    for n in (4, 40):
        row = result.row(n)
        assert (row.error.high - row.error.low) / (2 * row.error.value) <= 0.1
        assert row.about == "these images"
        assert row.error.value == pytest.approx(many.row(n).error.value, rel=0.2)
    assert any("labels alone" in note for note in result.notes) == (model is scored.labels)


def test_until_ends_for_a_model_that_nothing_flips() -> None:
    result = score(lambda batch: [0] * len(batch), IMAGES, [0] * len(IMAGES), until=0.1, n=4,
                   max_queries=3000)  # fmt: skip
    assert result.ended is not None
    assert "the limit of 3,000 queries" in result.ended
    assert result.queries <= 3000
    assert (result.row(4).wrong, result.row(4).error.low) == (0, 0.0)
    assert 0 < result.row(4).error.high < 0.01


def test_a_number_that_nothing_flips_leaves_the_others_their_share() -> None:
    def apart(batch: Batch) -> Any:  # a stuck pixel moves the mean by a half
        return (np.abs(batch.mean(axis=(1, 2, 3)) - 128) > 7).astype(int)

    images = np.full((12, 3, scored.SIDE, scored.SIDE), 128, np.uint8)
    images[:, :, 0, 0] = np.arange(12)[:, None]
    result = score(apart, images, [0] * 12, n=(4, 40), until=0.25, max_queries=10_000)
    assert result.row(4).wrong == 0
    assert result.row(40).wrong > 0
    assert result.ended is not None
    assert result.ended.endswith("an interval wider than asked for at n = 4")


@pytest.mark.parametrize("count", [1, 5, 24])
@pytest.mark.parametrize("batch_size", [4, 64])
def test_a_run_costs_what_it_was_said_to(count: int, batch_size: int) -> None:
    asked: Any = {"n": (4, 8), "draws": 3, "batch_size": batch_size, "classes": scored.CLASSES}
    plan = Plan(n=(4, 8), draws=3, batch_size=batch_size)
    images, labels = IMAGES[:count], TRUTH[:count]
    assert score(scored.scores, images, labels, **asked).queries == plan.cost(count)
    few = score(scored.scores, images, labels, **asked, max_queries=plan.cost(count) - 1)
    assert few.queries < plan.cost(count) or count == 1, "one is asked for in any case"


def test_a_budget_reaches_a_random_part_of_the_images() -> None:
    result = score(
        scored.scores,
        IMAGES,
        TRUTH,
        n=8,
        draws=3,
        max_queries=60,
        batch_size=4,
        classes=scored.CLASSES,
    )
    assert result.ended is not None
    assert "the limit of 60 queries bought 14 of 24 images" in result.ended
    assert result.row(8).images == 14
    assert result.queries == 14 * 4 + 2, "half of the first batch is asked for again"


@pytest.mark.parametrize("form", ["network", "function"])
def test_the_worst_pixels_are_worse(form: str) -> None:
    model: Any = scored.scores
    settings: Any = {"n": (2, 8), "draws": 2, "worst": 30, "device": "cpu"}
    if form == "network":
        model, settings = (
            scored.network(),
            {**settings, "mean": (scored.MEAN,), "std": (scored.STD,)},
        )
    result = score(model, IMAGES, TRUTH, **settings, classes=scored.CLASSES)
    for n in (2, 8):
        assert result.row(n, worst=True).flipped >= result.row(n).flipped
    assert result.row(8, worst=True).error.value > result.row(8).error.value


def test_the_worst_pixels_need_scores() -> None:
    with pytest.raises(ParameterError, match="expected scores for the search"):
        score(scored.labels, IMAGES, TRUTH, n=8, draws=1, worst=5)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (lambda batch: scored.scores(batch)[:, :2], DataError, "of its 3 classes, got 2"),
        (lambda batch: scored.scores(batch)[:, :1], DataError, "two or more scores"),
        (lambda batch: scored.scores(batch) * np.nan, NumericalError, "finite scores, got nan"),
        (lambda batch: scored.scores(batch)[1:], DataError, "expected 24 answers for 24 images"),
        (lambda batch: ["other"] * len(batch), DataError, "among its classes dark, light, mixed"),
        (lambda batch: [7] * len(batch), DataError, "labels from 0 to 2, got 7"),
        (lambda batch: [0.5] * len(batch), DataError, "whole numbers or names"),
        (
            lambda batch: 1 / 0,
            DataError,
            r"it raised ZeroDivisionError for images \(24, 16, 16, 3\), NHWC: divi",
        ),
        (lambda batch: None, DataError, "expected 24 answers for 24 images, got none"),
        (scored.changing(), DataError, "answers the same images differently"),
        (lambda batch: [0 if len(batch) > 9 else 1] * len(batch), DataError, "differently"),
        (lambda batch: -scored.scores(batch), DataError, "right unchanged, got 0 of"),
    ],
)
def test_a_bad_model_is_one_line(
    model: Callable[[Batch], Any], error: type[Exception], words: str
) -> None:
    labels = ["dark" if one == "dark" else "light" for one in TRUTH]
    chosen = (
        [at for at, one in enumerate(TRUTH) if one != "mixed"] if "unchanged" in words else None
    )
    images = IMAGES if chosen is None else IMAGES[chosen]
    labels = labels if chosen is None else [labels[at] for at in chosen]
    with pytest.raises(error, match=words) as raised:
        score(model, images, labels, n=8, draws=1, classes=scored.CLASSES)
    assert "\n" not in str(raised.value)


def test_a_model_may_warn(tmp_path: Path) -> None:
    def model(batch: Batch) -> Any:
        warnings.warn("a division by zero", RuntimeWarning, stacklevel=2)
        return scored.scores(batch)

    folders = scored.write_folders(tmp_path / "images")
    settings: Any = {"n": 8, "draws": 1, "batch_size": 5, "side": scored.SIDE}
    with pytest.warns(RuntimeWarning, match="a division by zero"):
        result = score(model, folders, **settings, classes=scored.CLASSES)
    assert result.row(8).images == len(IMAGES)


def test_an_image_that_pillow_warns_of_is_refused(tmp_path: Path) -> None:
    folders = scored.write_folders(tmp_path / "images")
    cut = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"
    Image.new("RGB", (scored.SIDE, scored.SIDE)).save(folders / "dark" / "odd.jpg", exif=cut)
    result = score(scored.scores, folders, n=8, draws=1, side=scored.SIDE, classes=scored.CLASSES)
    assert result.row(8).images == len(IMAGES)
    assert any("odd.jpg" in note and "EXIF" in note for note in result.notes)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_answers_that_depend_on_the_other_images_are_noticed(count: int) -> None:
    def model(batch: Batch) -> Any:
        return scored.scores(batch) - scored.scores(batch).mean(axis=0)

    with pytest.raises(DataError, match="differently"):
        score(model, IMAGES[::3][:count], n=8, draws=1)


def test_softmax_is_as_good_as_logits() -> None:
    def softmax(batch: Batch) -> Any:
        return torch.from_numpy(scored.scores(batch)).softmax(dim=1)

    plain = score(scored.scores, IMAGES, TRUTH, n=40, draws=2, classes=scored.CLASSES)
    assert score(softmax, IMAGES, TRUTH, n=40, draws=2, classes=scored.CLASSES).rows == plain.rows


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": (8, 4)}, "growing numbers"),
        ({"n": 300}, "on images of side 16"),
        ({"area": 40}, "on images of side 16"),
        ({"values": "hot"}, "expected full, stuck or offset:d"),
        ({"draws": 0}, "draws: expected a number from 1"),
        ({"until": 10}, "a share between 0 and 1"),
        ({"side": 32}, "squares of side 32"),
        ({"std": (0.5,)}, "owns its normalisation"),
        ({"max_queries": 0}, "above 0"),
        ({"max_seconds": float("nan")}, "above 0"),
        ({"until": 0.1, "max_queries": None}, "expected a limit of queries or seconds beside it"),
        ({"side": 0}, "side: expected a number of pixels from 1, got 0"),
        ({"drwas": 3}, "did you mean 'draws'"),
    ],
)
def test_a_bad_setting_is_one_line(settings: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words) as raised:
        score(scored.scores, IMAGES, TRUTH, **{"n": 8, "classes": scored.CLASSES, **settings})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("images", [IMAGES.astype(float), IMAGES[0], IMAGES[:, :, 1:], []])
def test_bad_images_are_one_line(images: Any) -> None:
    with pytest.raises(ParameterError, match="images: expected"):
        score(scored.scores, images)


def test_folders_table_manifestless_and_single_images(tmp_path: Path) -> None:
    folders = scored.write_folders(tmp_path / "images")
    asked: Any = {"n": 40, "draws": 2, "side": scored.SIDE, "classes": scored.CLASSES}
    expected = score(scored.scores, folders, **asked)
    assert expected.clean is not None

    table = tmp_path / "images" / "labels.csv"
    rows = [
        f"{path.relative_to(table.parent)},{path.parent.name}" for path in folders.rglob("*.png")
    ]
    table.write_text("\n".join(["path,label", *rows]))
    assert score(scored.scores, table, **asked).rows == expected.rows

    alone = score(scored.scores, folders / "dark", **asked)
    assert not alone.labels
    shutil.copytree(folders / "dark", tmp_path / "single" / "dark")
    single = score(scored.scores, tmp_path / "single", **asked)
    assert not single.labels
    assert any("one folder, dark, is not taken for a class" in note for note in single.notes)
    one = score(scored.scores, next(folders.rglob("*.png")), **asked)
    assert one.row(40).images == 1


def test_images_that_cannot_be_read_and_copies_are_left_out(tmp_path: Path) -> None:
    folders = scored.write_folders(tmp_path / "images")
    first = next((folders / "dark").iterdir())
    Image.open(first).save(folders / "dark" / "copy.png")
    (folders / "light" / "broken.png").write_bytes(first.read_bytes()[:50])
    result = score(scored.scores, folders, n=8, draws=1, side=scored.SIDE, classes=scored.CLASSES)
    assert result.row(8).images == len(IMAGES)
    assert any(
        "1 images could not be read" in note and "broken.png" in note for note in result.notes
    )
    assert any("1 copies" in note for note in result.notes)
    assert result.ended is None


def test_labels_that_the_model_does_not_know(tmp_path: Path) -> None:
    folders = scored.write_folders(tmp_path / "images")
    (folders / "dark").rename(folders / "dim")
    with pytest.raises(DataError, match="no match for dim"):
        score(scored.scores, folders, side=scored.SIDE, classes=scored.CLASSES)
    (folders / "mixed").rename(tmp_path / "mixed")
    with pytest.raises(DataError, match="name all classes of the model in their order"):
        score(scored.scores, folders, side=scored.SIDE)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "the columns path and label, got no row"), ("a,b\n1,2\n", "got a, b"),
     ("path,label\nx.png,\n", "line 2: expected a label")],
)  # fmt: skip
def test_a_bad_table_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=words):
        score(scored.scores, table)


def test_no_images_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got nothing"):
        score(scored.scores, tmp_path / "missing")
    with pytest.raises(DataError, match="expected images, got none"):
        score(scored.scores, tmp_path)


def test_a_model_is_closed_where_there_are_no_images(tmp_path: Path) -> None:
    used: list[bool] = []
    target = Target("a model", scored.scores, close=used.append)
    with pytest.raises(DataError, match="got nothing"):
        pictures_for(target, tmp_path / "missing")
    assert used == [False]


def test_pixelproof_score_is_this() -> None:
    assert pixelproof.score is score
