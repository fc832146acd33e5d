"""Ids of images as people have them: Python's integers, arrays, tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pixelproof.core.counter_random import UInt64
from pixelproof.data.image_set import image_id
from pixelproof.errors import ParameterError

ImageIds = int | Sequence[int] | npt.NDArray[np.integer[Any]] | Tensor


def as_image_ids(ids: ImageIds, count: int) -> UInt64:
    """Ids as unsigned 64-bit integers; a negative one stands for the same bits.

    Args:
        ids: One for each image, in any shape.
        count: How many images there are.

    Returns:
        (count,) uint64.

    Raises:
        ParameterError: They are no integers of 64 bits, or not as many as the images.

    >>> as_image_ids([0, 7], 2)
    array([0, 7], dtype=uint64)
    """
    if isinstance(ids, Tensor):
        ids = ids.detach().cpu().numpy()
    if isinstance(ids, np.ndarray):
        if ids.dtype.kind not in "iu":
            raise ParameterError(f"ids: expected integers of 64 bits, got {ids.dtype} values")
        array = ids.reshape(-1).astype(np.uint64)
    else:  # numpy would turn a list of small and of large integers into floats
        array = np.array(
            [_bits(one) for one in ([ids] if isinstance(ids, int) else ids)], np.uint64
        )
    if len(array) != count:
        raise ParameterError(f"ids: expected {count}, one for each image, got {len(array)}")
    return array


def _bits(one: object) -> int:
    if not isinstance(one, int | np.integer) or not -(2**63) <= one < 2**64:
        raise ParameterError(f"ids: expected integers of 64 bits, got {one!r}")
    return int(one) % 2**64


def content_ids(images: Tensor) -> UInt64:
    """The ids that the pipeline gives to images (B, C, H, W) uint8: hashes of their content."""
    arrays = images.detach().cpu().numpy()
    return np.array([image_id(np.ascontiguousarray(array)) for array in arrays], dtype=np.uint64)
