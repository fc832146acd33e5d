import pytest
import torch

from pixelproof.models.augmentations import augmentation

NAMES = ["geometric", "colour", "erasing", "autoaugment"]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_stays_an_image_and_the_generator_decides(name: str) -> None:
    augment = augmentation(name)
    assert augment is not None
    image = torch.randint(0, 256, (3, 24, 24), dtype=torch.uint8)
    before = image.clone()
    seen = []
    for _ in range(2):
        torch.manual_seed(7)
        seen.append([augment(image) for _ in range(8)])
    for one, other in zip(*seen, strict=True):
        assert one.shape == image.shape
        assert one.dtype == torch.uint8
        assert torch.equal(one, other)
    assert any(not torch.equal(one, image) for one in seen[0])
    assert torch.equal(image, before)


def test_none_is_none_and_others_are_refused() -> None:
    assert augmentation("none") is None
    with pytest.raises(ValueError, match="got 'cutmix'"):
        augmentation("cutmix")
