"""`SmallDistance` against the pipeline's own kernel, in each form that an image can have."""

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from pixelproof import SmallDistance, apply_changes, draw_changes
from pixelproof.errors import ParameterError

IDS = np.array([3, 2**63 + 11, 2**64 - 1, 0], dtype=np.uint64)
SETTINGS = [("stuck", None), ("full", 6), ("offset:40", None), ("offset:255", 9)]


def draw_images(count: int = 4, channels: int = 3) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(5)
    return random.integers(0, 256, (count, channels, 12, 16), dtype=np.uint8)


def expected(
    images: npt.NDArray[np.uint8], values: str = "stuck", area: int | None = None, draw: int = 2
) -> Tensor:
    ids = IDS[: len(images)]
    changes = draw_changes(ids, 9, (12, 16), seed=7, draw=draw, values=values, area=area)
    return torch.from_numpy(apply_changes(images, changes))


@pytest.mark.parametrize(("values", "area"), SETTINGS)
def test_with_ids_it_makes_the_bytes_of_the_pipeline(values: str, area: int | None) -> None:
    images = draw_images()
    transform, wanted = SmallDistance(9, values, area, seed=7), expected(images, values, area)
    batch = torch.from_numpy(images)
    assert torch.equal(transform(batch, ids=IDS, draw=2), wanted)
    assert torch.equal(batch, torch.from_numpy(images)), "the input stays as it is"
    for one, image_id, changed in zip(batch, IDS.tolist(), wanted, strict=True):
        assert torch.equal(transform(one, ids=image_id, draw=2), changed)
        wrapped = transform(tv_tensors.Image(one), ids=image_id, draw=2)
        assert isinstance(wrapped, tv_tensors.Image)
        assert torch.equal(wrapped, changed)
        picture = transform(PIL.Image.fromarray(one.permute(1, 2, 0).numpy()), ids=image_id, draw=2)
        assert np.array_equal(np.array(picture), changed.permute(1, 2, 0).numpy())
    last = batch.to(memory_format=torch.channels_last)
    assert torch.equal(transform(last, ids=IDS, draw=2), wanted)
    folded = transform(batch.reshape(2, 2, 3, 12, 16), ids=IDS.reshape(2, 2), draw=2)
    assert torch.equal(folded.flatten(0, 1), wanted)


@pytest.mark.parametrize(("values", "area"), SETTINGS)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_floats_are_the_integers_by_255(values: str, area: int | None, kind: torch.dtype) -> None:
    images = draw_images()
    transform = SmallDistance(9, values, area, seed=7)
    floats = torch.from_numpy(images).to(kind) / 255
    changed = transform(floats, ids=IDS)
    assert torch.equal(floats, torch.from_numpy(images).to(kind) / 255), "the input stays"
    assert changed.dtype == kind
    assert torch.equal(changed, expected(images, values, area, draw=0).to(kind) / 255)


def test_each_value_survives_an_offset_as_a_float() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(3, axis=1)
    transform = SmallDistance(256, "offset:3", seed=1)
    whole = transform(torch.from_numpy(images), ids=[1])
    assert torch.equal(transform(torch.from_numpy(images).float() / 255, ids=[1]), whole / 255)


def test_gray_images_take_the_first_channel() -> None:
    images = draw_images(channels=1)
    coloured = expected(images.repeat(3, axis=1), "full", draw=0)
    transform = SmallDistance(9, "full", seed=7)
    assert torch.equal(transform(torch.from_numpy(images), ids=IDS), coloured[:, :1])
    picture = transform(PIL.Image.fromarray(images[0, 0]), ids=3)
    assert picture.mode == "L"
    assert np.array_equal(np.array(picture), coloured[0, 0].numpy())


def test_signed_ids_stand_for_the_same_bits() -> None:
    batch = torch.from_numpy(draw_images())
    transform = SmallDistance(9)
    wanted = transform(batch, ids=IDS)
    assert torch.equal(transform(batch, ids=torch.from_numpy(IDS.view(np.int64))), wanted)
    assert torch.equal(transform(batch, ids=IDS.tolist()), wanted)


def test_what_is_no_image_passes_unchanged() -> None:
    boxes = tv_tensors.BoundingBoxes([[1, 1, 4, 4]], format="XYXY", canvas_size=(12, 16))
    mask = tv_tensors.Mask(torch.ones(1, 12, 16, dtype=torch.uint8))
    label, name = torch.tensor([3]), "part 7"
    image = tv_tensors.Image(torch.from_numpy(draw_images()[0]))
    sample = {"image": image, "target": (boxes, mask, label, name, 5)}
    for changed in (SmallDistance(9)(sample), SmallDistance(9)(sample, ids=4)):
        assert int((changed["image"] != image).any(dim=0).sum()) <= 9
        assert not torch.equal(changed["image"], image)
        for after, before in zip(changed["target"], sample["target"], strict=True):
            assert after is before
    both, twin, number = SmallDistance(9)(image, image, 5)
    assert torch.equal(both, twin)
    assert number == 5


def test_it_changes_n_distinct_pixels_in_the_area() -> None:
    batch = torch.full((4, 3, 12, 16), 100, dtype=torch.uint8)
    changed = (SmallDistance(10, area=4)(batch) != batch).any(dim=1)
    assert changed.flatten(1).sum(dim=1).tolist() == [10] * 4
    assert int(changed[:, 4:8, 6:10].sum()) == 40
    assert len({row.numpy().tobytes() for row in changed}) == 4, "each image has its own"


def test_without_ids_torch_decides() -> None:
    image = torch.from_numpy(draw_images()[0])
    transform = SmallDistance(9)
    torch.manual_seed(3)
    first, second = transform(image), transform(image)
    torch.manual_seed(3)
    assert torch.equal(transform(image), first)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert not torch.equal(SmallDistance(9, seed=1)(image), first)


class Images(Dataset[Tensor]):
    """One image, again and again."""

    def __init__(self, transform: Callable[[Any], Tensor]) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 8

    def __getitem__(self, at: int) -> Tensor:
        return self.transform(torch.full((3, 12, 16), 100, dtype=torch.uint8))


def load(seed: int) -> Sequence[bytes]:
    generator = torch.Generator().manual_seed(seed)
    compose = v2.Compose([SmallDistance(9), v2.ToDtype(torch.float32, scale=True)])
    loader = DataLoader(Images(compose), batch_size=1, num_workers=2, generator=generator)
    return [batch.numpy().tobytes() for batch in loader]


def test_workers_draw_other_numbers_and_a_seed_repeats_them() -> None:
    first = load(1)
    assert len(set(first)) == 8
    assert load(1) == first
    assert not set(load(2)) & set(first)


def test_gradients_reach_the_pixels_that_stay() -> None:
    image = torch.full((3, 12, 16), 0.5, requires_grad=True)
    changed = SmallDistance(9)(image)
    (gradient,) = torch.autograd.grad(changed.sum(), image)
    assert torch.equal(gradient, (changed == 0.5).float())


def test_it_says_what_it_is_and_can_be_stored() -> None:
    transform = SmallDistance(9, "full", 6, seed=7)
    assert repr(transform) == "SmallDistance(n=9, values=full, area=6, seed=7)"
    batch = torch.from_numpy(draw_images())
    again = pickle.loads(pickle.dumps(transform))
    assert torch.equal(again(batch, ids=IDS), transform(batch, ids=IDS))
    assert SmallDistance(9)(torch.zeros(0, 3, 12, 16, dtype=torch.uint8), ids=[]).shape[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n: expected a number of pixels from 1, got 0"),
        ({"n": 2.5}, "n: expected a number of pixels from 1, got 2.5"),
        ({"n": 10, "area": 3}, "n: expected a number of pixels from 1 to 9, the pixels of"),
        ({"area": 0}, "area: expected None or a side from 1, got 0"),
        ({"values": "white"}, "expected full, stuck or offset:d with d from 1 to 255, got 'white'"),
        ({"seed": -1}, "seed: expected an integer from 0 to 2\\*\\*64 - 1, got -1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        SmallDistance(**arguments)


BYTES = torch.zeros(2, 3, 12, 16, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([BYTES], {"ids": [1]}, "ids: expected 2, one for each image, got 1"),
        ([BYTES], {"ids": [0.5, 1.0]}, "ids: expected integers of 64 bits, got 0.5"),
        ([BYTES], {"ids": torch.ones(2)}, "ids: expected integers of 64 bits, got float32 values"),
        (
            [BYTES],
            {"ids": [2**64, 1]},
            "ids: expected integers of 64 bits, got 18446744",
        ),
        ([BYTES], {"draw": 1}, "draw: expected ids beside it, got 1 alone"),
        ([BYTES.int()], {}, "expected uint8 or float images, got torch.int32"),
        ([BYTES - 1.5], {}, r"expected floats in \[0, 1\], got -1.5 to -1.5; SmallDistance belo"),
        ([BYTES / 0], {}, r"expected floats in \[0, 1\], got nan to nan"),
        ([BYTES[0, 0]], {}, r"expected images \(…, 1 or 3, H, W\), got a tensor of shape \(12, "),
        ([BYTES.permute(0, 2, 3, 1)], {}, r"expected images .* shape \(2, 12, 16, 3\)"),
        ([5, "a"], {}, "expected images of one size in a sample, got no image"),
        ([tv_tensors.Image(BYTES), tv_tensors.Image(BYTES[..., 1:])], {}, "expected images of one"),
        ([tv_tensors.Video(BYTES)], {}, "expected images, got a Video; give its frames"),
        ([PIL.Image.new("RGBA", (16, 12))], {}, "expected a PIL image of mode L or RGB, got RGBA"),
        ([BYTES[..., :8, :7]], {}, r"n: expected 1 to 56 pixels in the area, got 64"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    inputs: list[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as raised:
        SmallDistance()(*inputs, **options)
    assert "\n" not in str(raised.value)
    assert not options or isinstance(raised.value, ParameterError)
