"""The section `compute`: where and how the work is done."""

import re
from dataclasses import dataclass

from pixelproof.params.validation import require

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class Compute:
    """Where and how the work is done, not what it is: no stage runs again for it."""

    device: str = "auto"
    parallel: int | None = None
    stage_hours: float = 12.0
    retries: int = 1

    def __post_init__(self) -> None:
        expected = "auto, cpu, cuda or cuda:N"
        require(DEVICE.fullmatch(self.device) is not None, "device", expected, self.device)
        number = self.parallel
        require(number is None or number >= 1, "parallel", "null or a number from 1", number)
        require(self.stage_hours > 0, "stage_hours", "hours above 0", self.stage_hours)
        require(self.retries >= 0, "retries", "a number from 0", self.retries)
