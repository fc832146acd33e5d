"""Choosing a device, and images and changes that stay on it."""

import numpy as np
import pytest
import torch

from pixelproof.core.pixel_changes import apply_changes, apply_in_place, draw_changes
from pixelproof.errors import ParameterError
from pixelproof.models.devices import DeviceImages, describe_device, find_device, room_for

GPUS = torch.cuda.device_count()


def test_auto_is_a_gpu_where_there_is_one() -> None:
    assert find_device("auto") == torch.device("cuda:0" if GPUS else "cpu")
    assert describe_device(find_device("cpu")) == "cpu"
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", ["cuda:99", *(["cuda"] if not GPUS else [])])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(ParameterError, match=r"compute\.device: expected auto or one of \['cpu'"):
        find_device(name)


@pytest.mark.parametrize("name", ["cpu", *(["cuda:0"] if GPUS else [])])
@pytest.mark.parametrize("values", ["full", "stuck", "offset:40"])
def test_changes_are_the_same_bytes_on_every_device(name: str, values: str) -> None:
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (5, 3, 12, 12), dtype=np.uint8)
    ids = random.integers(0, 2**63, 5).astype(np.uint64)
    rows = np.array([3, 0, 3])
    changes = draw_changes(ids[rows], 20, (12, 12), seed=1, draw=0, values=values)
    images = DeviceImages(pixels, find_device(name))
    batch = images.take(rows)
    apply_in_place(batch, changes.to(images.device))
    assert np.array_equal(batch.cpu().numpy(), apply_changes(pixels[rows], changes))
    assert np.array_equal(images.take(np.arange(5)).cpu().numpy(), pixels), "a copy was changed"


@pytest.mark.parametrize(
    ("error", "batch_size", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), 64, "the GPU is full .* of 64; try 32"),
        (torch.OutOfMemoryError("CUDA out of memory"), 1, "use smaller images or a larger GPU"),
        (MemoryError(), 3, "the memory is full .* of 3; try 1"),
    ],
)
def test_a_full_memory_names_the_batch_size_to_try(
    error: Exception, batch_size: int, words: str
) -> None:
    match = rf"finetune\.batch_size: .*{words}"
    with pytest.raises(ParameterError, match=match), room_for("finetune.batch_size", batch_size):
        raise error


def test_torch_says_so_when_the_memory_of_the_cpu_is_full() -> None:
    with pytest.raises(ParameterError, match="the memory is full"), room_for("x", 2):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="another"), room_for("x", 2):
        raise RuntimeError("another")
