"""How many bytes a stored small-distance sample takes, ids and manifest included.

python -m benchmarks.storage         seconds
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.rounds import exact, record, require_same
from pixelproof.core.pixel_changes import draw_changes
from pixelproof.data.drawn_changes import Wanted, load_change_set, write_change_set
from pixelproof.data.image_set import ImageSet
from pixelproof.params.generate import Generate

COUNT, SIDE, N, SEED = 1000, 224, 64, 2021


def main() -> None:
    pixels = np.zeros((COUNT, 3, SIDE, SIDE), np.uint8)  # what they show takes no byte
    ids, labels = np.arange(COUNT, dtype=np.uint64), np.zeros(COUNT, np.int64)
    images = ImageSet(ids, labels, pixels, ("a",), ("",) * COUNT, "train")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "changes"
        write_change_set(folder, {"full": Wanted("full", None, N, 1)}, images, Generate(), SEED)
        size = sum(path.stat().st_size for path in folder.iterdir())
        stored = load_change_set(folder, "full", images).take(slice(None), 0, N)
    drawn = draw_changes(ids, N, (SIDE, SIDE), seed=SEED)
    require_same("stored positions", stored.positions, drawn.positions)
    require_same("stored values", stored.values, drawn.values)
    against = f"bytes of an image of {SIDE} px as it is: {pixels[0].nbytes}"
    record({"bytes_per_sample": exact(size / COUNT, against)})


if __name__ == "__main__":
    main()
