"""Where the work is done: a GPU or the CPU, and images that stay there."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelproof.errors import ParameterError

RESIDENT_SHARE = 0.5  # of the free memory of a device that images may take


def find_device(name: str) -> torch.device:
    """The device that a parameter names, ready for repeatable work in full precision.

    Args:
        name: `auto` (the first GPU, or the CPU where there is none), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ParameterError: There is no such device; lists what there is.
    """
    known = ["cpu", *(f"cuda:{at}" for at in range(torch.cuda.device_count()))]
    wanted = {"auto": known[min(1, len(known) - 1)], "cuda": "cuda:0"}.get(name, name)
    if wanted not in known:
        raise ParameterError(f"compute.device: expected auto or one of {known}, got {name!r}")
    device = torch.device(wanted)
    # TF32 has ten bits, which changes the signs of gradients and small margins.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # A few layers of old networks have no repeatable gradient on a GPU: a warning, not an end.
    # `use_deterministic_algorithms` would set the same, and import torch's compiler: two seconds.
    torch.set_deterministic_debug_mode("warn" if device.type == "cuda" else "error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return device


def describe_device(device: torch.device) -> str:
    """What a person calls it: cpu, or the GPU's product name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def describe_computation(device: torch.device) -> dict[str, str | int]:
    """What results depend on beside what went in: the device, and how many threads share a sum."""
    return {"device": describe_device(device), "threads": torch.get_num_threads()}


class DeviceImages:
    """Images to take batches of, on the device that needs them.

    Where they leave half of the memory free they lie there from the start, so that neither
    disk nor bus stands between two batches; else each batch is brought when it is taken.
    """

    def __init__(self, pixels: npt.NDArray[np.uint8], device: torch.device) -> None:
        """Bring the images, (N, 3, H, W) uint8, to the device where there is room."""
        self.device = device
        self._pixels = pixels
        self._resident: Tensor | None = None
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if pixels.nbytes < RESIDENT_SHARE * free:
                self._resident = torch.from_numpy(np.array(pixels)).to(device)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 3, H, W)."""
        return self._pixels.shape

    def __len__(self) -> int:
        return len(self._pixels)

    def take(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """A copy of some images, (B, 3, H, W) uint8, contiguous, on the device."""
        if self._resident is not None:
            return self._resident[torch.from_numpy(rows).to(self.device)]
        return torch.from_numpy(np.array(self._pixels[rows])).to(self.device)


@contextmanager
def room_for(key: str, batch_size: int) -> Iterator[None]:
    """Turn a full memory into an error that says what to do.

    Args:
        key: Of the batch size in `params.yaml`.
        batch_size: What it is.

    Raises:
        ParameterError: The memory of the device is full; names the batch size to try.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        full = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not full and "can't allocate memory" not in str(error):  # how the CPU says it
            raise
        device = "memory" if not isinstance(error, torch.OutOfMemoryError) else "GPU"
        smaller = max(1, batch_size // 2)
        advice = f"try {smaller}" if smaller < batch_size else "use smaller images or a larger GPU"
        raise ParameterError(
            f"{key}: the {device} is full with batches of {batch_size}; {advice}"
        ) from None
