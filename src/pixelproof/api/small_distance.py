"""Small-distance samples as a transform of torchvision, for any training loop."""

from dataclasses import dataclass
from typing import Any

import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from pixelproof.api.image_ids import ImageIds, as_image_ids
from pixelproof.core.counter_random import UInt64
from pixelproof.core.pixel_changes import Changes, apply_changes, draw_changes, parse_values
from pixelproof.errors import ParameterError

_MODES = ("L", "RGB")


@dataclass(frozen=True)
class _Ids:
    """The ids of a call's images; it travels among the inputs, where `make_params` finds it."""

    ids: ImageIds
    draw: int


class SmallDistance(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Change n pixels of each image, as a dead or hot camera pixel does (Algorithm 1).

    Takes what transforms of torchvision take: an image alone or in a sample of any structure.
    Images are tensors (…, C, H, W) of one or three channels, uint8 or floats in [0, 1], TVTensors
    or PIL images; each image of a batch gets changes of its own. All else (labels, bounding
    boxes, masks) passes unchanged. It belongs after `Resize` and before `Normalize`.

    Without ids each call draws anew from torch's generator, as other transforms do: it obeys
    `torch.manual_seed`, and each worker of a DataLoader draws other numbers. With ids a call is
    a pure function of (seed, id, draw): the bytes that `draw_changes` and the pipeline draw, in
    any batch, process or machine.

    Args:
        n: How many pixels change, from 1.
        values: `stuck` (0 or 255 in all channels), `full` (0 to 255 in each channel) or
            `offset:d` (the old value plus or minus d of 255, clipped).
        area: The side of the centred square that holds the pixels; None is the whole image.
        seed: From 0 to 2**64 - 1.

    Raises:
        ValueError: An argument, or an image in a call, is not as above; says what came.

    >>> image = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    >>> changed = SmallDistance(n=4)(image, ids=17)
    >>> int((changed != image).any(dim=0).sum())
    4
    """

    _transformed_types = (*v2.Transform._transformed_types, _Ids)

    def __init__(
        self, n: int = 64, values: str = "stuck", area: int | None = None, *, seed: int = 0
    ) -> None:
        super().__init__()
        parse_values(values)
        if area is not None and (type(area) is not int or area < 1):
            raise ParameterError(f"area: expected None or a side from 1, got {area}")
        if type(n) is not int or n < 1 or (area is not None and n > area * area):
            most = "" if area is None else f" to {area * area}, the pixels of the area"
            raise ParameterError(f"n: expected a number of pixels from 1{most}, got {n}")
        if type(seed) is not int or not 0 <= seed < 2**64:
            raise ParameterError(f"seed: expected an integer from 0 to 2**64 - 1, got {seed}")
        self.n, self.values, self.area, self.seed = n, values, area, seed

    def forward(self, *inputs: Any, ids: ImageIds | None = None, draw: int = 0) -> Any:
        """Change the images among the inputs.

        Args:
            inputs: An image, or a sample that holds images of one size, which change alike.
            ids: One for each image of the batch, any integers of 64 bits.
            draw: Which of the draws of an id, from 0; an epoch's number gives each epoch its own.

        Returns:
            The inputs in their structure, the images as new objects of the same kind.

        Raises:
            ValueError: An image, an id or the draw is not as above.
        """
        if ids is None:
            if draw:
                raise ParameterError(f"draw: expected ids beside it, got {draw} alone")
            return super().forward(*inputs)
        changed = super().forward(*inputs, _Ids(ids, draw))[:-1]
        return changed if len(changed) > 1 else changed[0]

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the changes for a call."""
        sizes = {_size(one) for one in flat_inputs if _is_image(one)}
        if len(sizes) != 1:
            found = f"(images, height, width) {sorted(sizes)}" if sizes else "no image"
            raise ParameterError(f"expected images of one size in a sample, got {found}")
        ((count, height, width),) = sizes
        given = next((one for one in flat_inputs if isinstance(one, _Ids)), None)
        ids = as_image_ids(given.ids, count) if given else _random_ids(count)
        changes = draw_changes(
            ids,
            self.n,
            (height, width),
            seed=self.seed,
            draw=given.draw if given else 0,
            values=self.values,
            area=self.area,
        )
        return {"changes": changes}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply the changes to one of the inputs; returns what is no image as it is."""
        if not _is_image(inpt):
            return inpt
        if isinstance(inpt, PIL.Image.Image):
            pixels = functional.pil_to_tensor(inpt)
            return functional.to_pil_image(_apply(pixels, params["changes"]), inpt.mode)
        changed = _apply(inpt.as_subclass(Tensor), params["changes"])
        wrapped = isinstance(inpt, tv_tensors.Image)
        return tv_tensors.wrap(changed, like=inpt) if wrapped else changed


def _is_image(inpt: Any) -> bool:
    if isinstance(inpt, tv_tensors.Video):
        raise ParameterError("expected images, got a Video; give its frames as a batch of images")
    kinds = (tv_tensors.Image, PIL.Image.Image)
    pure = isinstance(inpt, Tensor) and not isinstance(inpt, tv_tensors.TVTensor)
    return pure or isinstance(inpt, kinds)


def _size(image: Any) -> tuple[int, int, int]:
    """How many images a batch holds, their height and their width, of an image that is fit."""
    if isinstance(image, PIL.Image.Image):
        if image.mode not in _MODES:
            raise ParameterError(
                f"expected a PIL image of mode {' or '.join(_MODES)}, got {image.mode}; "
                'convert it, as by image.convert("RGB")'
            )
        return 1, image.height, image.width
    if image.ndim < 3 or image.shape[-3] not in (1, 3):
        raise ParameterError(
            f"expected images (…, 1 or 3, H, W), got a tensor of shape {tuple(image.shape)}"
        )
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise ParameterError(f"expected uint8 or float images, got {image.dtype}")
    if image.is_floating_point() and image.numel():
        low, high = (float(bound) for bound in torch.aminmax(image.detach()))
        if not 0 <= low <= high <= 1:  # not so where one is NaN, either
            raise ParameterError(
                f"expected floats in [0, 1], got {low:.3g} to {high:.3g}; SmallDistance belongs "
                "before Normalize"
            )
    return image.shape[:-3].numel(), image.shape[-2], image.shape[-1]


def _random_ids(count: int) -> UInt64:
    """As many ids from torch's generator, so that its seed decides what is drawn."""
    return as_image_ids(torch.randint(-(2**63), 2**63 - 1, (count,)), count)


def _apply(images: Tensor, changes: Changes) -> Tensor:
    """Images (…, C, H, W) with their pixels changed, as a new tensor."""
    batch = images.reshape(-1, *images.shape[-3:])
    values = changes.values[:, :, : batch.shape[1]]  # a gray image has the first channel alone
    moved = Changes(changes.positions, values).to(batch.device)
    if batch.dtype == torch.uint8:
        return apply_changes(batch, moved).reshape(images.shape)
    flat = batch.flatten(2)
    where = moved.positions[:, None, :].expand(-1, flat.shape[1], -1)
    wanted = moved.values.swapaxes(1, 2).to(batch.dtype)
    if moved.values.dtype != torch.uint8:  # in units of 1/255, where no rounding is left over
        wanted = (flat.gather(2, where) * 255 + wanted).clamp(0, 255)
    return flat.scatter(2, where, wanted / 255).reshape(images.shape)
