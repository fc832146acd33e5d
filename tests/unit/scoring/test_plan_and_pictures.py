"""Budgets in time, and the images that the stage `select` has made."""

from pathlib import Path

import numpy as np
import pytest

from pixelproof.data.image_set import hex_id, image_id
from pixelproof.errors import IntegrityError, ParameterError
from pixelproof.scoring.plan import Meter, Plan
from pixelproof.scoring.score import score
from pixelproof.scoring.terminal import text
from pixelproof.system import files
from tests.support import scored

IMAGES = scored.images()
TRUTH = scored.truth(IMAGES)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The held-out images as `select` leaves them, two of each part."""
    folder = tmp_path / "images"
    folder.mkdir()
    order = np.argsort(np.array([image_id(image) for image in IMAGES], np.uint64))
    np.save(folder / "held_out.npy", IMAGES[order])
    rows = [
        {
            "image": hex_id(image_id(IMAGES[at])),
            "label": scored.CLASSES.index(TRUTH[at]),
            "path": f"{TRUTH[at]}/{at}.png",
            "split": "held_out",
            "group": f"part {at // 2}",
        }
        for at in order
    ]
    made = {
        "side": scored.SIDE,
        "fit": "stretch",
        "split": "hash",
        "seed": 2021,
        "validation": None,
    }
    splits = {"held_out": {"sha256": files.sha256(folder / "held_out.npy")}}
    content = {**made, "classes": list(scored.CLASSES), "splits": splits, "images": rows}
    files.write_sealed(folder / "manifest.json", content)
    return folder


def test_a_manifest_has_the_same_counts_and_intervals_by_part(manifest: Path) -> None:
    alone = score(scored.scores, IMAGES, TRUTH, n=40, draws=4, classes=scored.CLASSES).row(40)
    for path in (manifest, manifest / "manifest.json"):
        row = score(scored.scores, path, n=40, draws=4, classes=scored.CLASSES).row(40)
        assert (row.wrong, row.images) == (alone.wrong, alone.images)
        assert row.error.high - row.error.low > alone.error.high - alone.error.low


def test_a_manifest_has_one_side(manifest: Path) -> None:
    with pytest.raises(ParameterError, match="its images have side 16"):
        score(scored.scores, manifest, side=32)


def test_a_damaged_manifest_is_one_line(manifest: Path) -> None:
    path = manifest / "manifest.json"
    path.write_text(path.read_text().replace("stretch", "crop"))
    with pytest.raises(IntegrityError, match="damaged"):
        score(scored.scores, manifest)


@pytest.mark.parametrize("until", [None, 0.1])
def test_a_limit_in_seconds_ends_what_is_left(until: float | None) -> None:
    result = score(
        scored.scores, IMAGES, TRUTH, classes=scored.CLASSES, n=(4, 40), until=until,
        max_seconds=1e-9, batch_size=8,
    )  # fmt: skip
    assert result.ended is not None
    assert "the limit of 1e-09 seconds bought 1 of 24 images" in result.ended
    assert result.clean is not None
    assert result.clean.images == 1, "one is read in any case"
    assert len(result.rows) == (2 if until is None else 0)
    assert "Not done: the limit" in text(result)


def test_a_meter_says_what_is_left() -> None:
    meter = Meter(Plan(max_queries=100))
    assert meter.affordable(500) == 100
    meter.spend(90)
    assert (meter.affordable(50), meter.limit) == (10, None)
    meter.spend(10)
    assert (meter.affordable(50), meter.limit) == (0, "the limit of 100 queries")


def test_a_share_is_a_part_of_what_is_left() -> None:
    meter = Meter(Plan(max_queries=100))
    meter.spend(40)
    first = meter.share(3)
    assert meter.affordable(500, first) == 20
    meter.spend(5)
    assert meter.affordable(500, first) == 15
    assert meter.affordable(500, meter.share(2)) == 28
    assert meter.affordable(500, meter.share(1)) == meter.affordable(500) == 55
    assert Meter(Plan(max_queries=None)).affordable(500) == 500


def test_a_model_that_nothing_flips_has_an_upper_bound() -> None:
    result = score(lambda batch: [0] * len(batch), IMAGES, [0] * len(IMAGES), n=(4, 16))
    assert "16 stuck pixels at random never made it wrong" in text(result)
