import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixelproof.cli.stage import execute
from pixelproof.core.pixel_changes import Channels, draw_changes
from pixelproof.data.drawn_changes import Wanted, load_change_set, write_change_set
from pixelproof.data.image_set import ImageSet, load_images
from pixelproof.errors import DataError, IntegrityError
from pixelproof.params.generate import Generate
from pixelproof.params.project import Params
from pixelproof.system.files import read_json
from tests.conftest import write_params

TEST = Path("artifacts/changes/test")
TRAIN = Path("artifacts/changes/train")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def params(**keys: object) -> Params:
    return write_params(Path("params.yaml"), lambda content: content["generate"].update(keys))


@pytest.fixture
def images(project: Path) -> ImageSet:
    execute("select", params())
    return load_images(Path("artifacts/images"), "held_out", params().select)


def test_bytes_depend_on_no_batch_size_and_no_process(images: ImageSet) -> None:
    seen = []
    for batch_size in (1, 7, 256):
        execute("generate", params(batch_size=batch_size))
        seen.append(contents(Path("artifacts/changes")))
    subprocess.run([sys.executable, "-m", "pixelproof.cli", "stage", "generate"], check=True)
    seen.append(contents(Path("artifacts/changes")))
    assert all(one == seen[0] for one in seen)
    assert len(seen[0]) == 15


def test_halves_drawn_apart_are_the_whole(images: ImageSet) -> None:
    code = (
        "import sys, numpy as np\n"
        "from pixelproof.core.pixel_changes import draw_changes\n"
        "ids = np.load('ids.npy')[int(sys.argv[1])::2]\n"
        "np.save(sys.argv[1], draw_changes(ids, 8, (16, 16), seed=6, draw=2).positions)\n"
    )
    np.save("ids.npy", images.ids)
    for half in "01":
        subprocess.run([sys.executable, "-c", code, half], check=True)
    whole = draw_changes(images.ids, 8, (16, 16), seed=6, draw=2).positions
    assert np.array_equal(np.load("0.npy"), whole[0::2])
    assert np.array_equal(np.load("1.npy"), whole[1::2])


@pytest.mark.parametrize("values", ["full", "stuck", "offset:40", "offset:200"])
@pytest.mark.parametrize("channels", ["all", "first"])
def test_a_stored_set_holds_what_was_drawn(
    images: ImageSet, values: str, channels: Channels
) -> None:
    options = Generate(channels=channels)
    write_change_set(Path("set"), {"x": Wanted(values, 10, 12, 2)}, images, options, seed=9)
    stored = load_change_set(Path("set"), "x", images)
    for draw in range(2):
        drawn = draw_changes(
            images.ids, 12, (16, 16), seed=9, draw=draw, values=values, area=10, channels=channels
        )
        taken = stored.take(slice(None), draw, 12)
        assert np.array_equal(taken.positions, drawn.positions)
        assert np.array_equal(taken.values, drawn.values)
        assert taken.values.dtype == drawn.values.dtype
        assert np.array_equal(stored.take(slice(None), draw, 5).values, drawn.first(5).values)


def test_a_draw_costs_its_positions_and_three_bytes_a_pixel(images: ImageSet) -> None:
    wanted = {"x": Wanted("offset:127", None, 64, 50)}
    write_change_set(Path("set"), wanted, images, Generate(), seed=9)
    size = sum(path.stat().st_size for path in Path("set").iterdir())
    assert size < 1.1 * len(images.ids) * 50 * 64 * (2 + 3)


def test_the_manifest_counts_pixels_that_keep_their_value(images: ImageSet) -> None:
    dead = np.zeros_like(images.pixels)
    black = ImageSet(images.ids, images.labels, dead, images.classes, images.paths, images.split)
    write_change_set(Path("set"), {"x": Wanted("stuck", None, 64, 5)}, black, Generate(), seed=9)
    entry = read_json(Path("set/manifest.json"))["draws"]["x"]
    stored = load_change_set(Path("set"), "x", images)
    assert entry["share_of_pixels_left_equal"] == np.mean(stored.records["value"] == 0)
    assert 0.4 < entry["share_of_pixels_left_equal"] < 0.6


def test_new_test_draws_change_no_training_draw(images: ImageSet) -> None:
    execute("generate", params())
    train, test = contents(TRAIN), contents(TEST)
    execute("generate", params(test_seed=99))
    assert contents(TRAIN) == train
    assert contents(TEST) != test


def test_train_holds_a_draw_an_epoch_or_one(images: ImageSet) -> None:
    execute("generate", params())
    train = load_images(Path("artifacts/images"), "train", params().select)
    assert load_change_set(TRAIN, "stuck-8", train).draws == 2
    assert load_change_set(TRAIN, "clean", train).records.shape[2] == 0

    def single(content: dict) -> None:  # type: ignore[type-arg]
        content["finetune"]["fresh"] = False

    execute("generate", write_params(Path("params.yaml"), single))
    assert load_change_set(TRAIN, "stuck-8", train).draws == 1


def test_draws_for_other_images_are_refused(images: ImageSet) -> None:
    execute("generate", params())
    with pytest.raises(IntegrityError, match="drawn for other images"):
        load_change_set(TRAIN, "stuck-8", images)
    with pytest.raises(DataError, match=r"expected draws named offset-11, holds \['full'"):
        load_change_set(TEST, "offset-11", images)


def test_a_flipped_bit_is_noticed(images: ImageSet) -> None:
    execute("generate", params())
    data = bytearray((TEST / "full.npy").read_bytes())
    data[-3] ^= 4
    (TEST / "full.npy").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"full\.npy: damaged"):
        load_change_set(TEST, "full", images)
