"""The centred square in which pixels change (Experiment 3): its cells, and where they lie."""

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]


def _box(shape: tuple[int, int], area: int | None) -> tuple[int, int, int]:
    """Top, left and width of the centred square of side `area`, or of the whole image."""
    height, width = shape
    return (0, 0, width) if area is None else ((height - area) // 2, (width - area) // 2, area)


def place_cells(cells: Int64, shape: tuple[int, int], area: int | None) -> Int64:
    """Positions in the image of the cells of a centred square of side `area` (Experiment 3)."""
    top, left, width = _box(shape, area)
    rows, columns = np.divmod(cells, width)
    return (rows + top) * shape[1] + columns + left


def cells_at(positions: Int64, shape: tuple[int, int], area: int | None) -> Int64:
    """The cells of the centred square at positions in the image: undoes `place_cells`."""
    top, left, width = _box(shape, area)
    rows, columns = np.divmod(positions, shape[1])
    return (rows - top) * width + columns - left
