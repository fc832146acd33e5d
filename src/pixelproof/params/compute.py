"""The section `compute`: where and how the work is done."""

from typing import Annotated

from pydantic import Field

from pixelproof.params.kinds import CountOrAll, Expected
from pixelproof.params.section import section


@section
class Compute:
    """Where and how the work is done, not what it is: no stage runs again for it."""

    device: Annotated[
        str,
        Field(pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$"),
        Expected("auto, cpu, cuda or cuda:N"),
    ] = "auto"
    """`auto`: a GPU where there is one, else the CPU. `cpu`, `cuda`, or `cuda:N` for one of several
    GPUs."""
    parallel: CountOrAll = None
    """How many stages a flow runs side by side; null: one a GPU, or one for 4 cores."""
    stage_hours: Annotated[float, Field(gt=0), Expected("hours above 0")] = 12.0
    """After how many hours a flow stops a stage."""
    retries: Annotated[int, Field(ge=0), Expected("a number from 0")] = 1
    """How often a flow repeats a stage that failed for a cause which may pass."""
