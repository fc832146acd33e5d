import subprocess
import sys
from pathlib import Path

import pytest

from pixelproof.errors import DataError, IntegrityError
from pixelproof.models.metadata import METADATA, read_metadata, seen_images, seen_is_known
from pixelproof.system import files

SLOW = {"torch", "scipy.stats", "scipy.optimize"}  # to import


@pytest.mark.parametrize("module", ["pixelproof.models.metadata", "pixelproof.stages.compare"])
def test_what_a_model_folder_says_is_read_without_torch(module: str) -> None:
    script = f"import sys, {module}; sys.exit(bool({SLOW} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def write(folder: Path, **keys: object) -> Path:
    folder.mkdir()
    (folder / "seen.txt").write_text(f"{7:016x}\n")
    content = {"format": 1, "source": {}, "seen_sha256": files.sha256(folder / "seen.txt")}
    files.write_sealed(folder / METADATA, {**content, **keys})
    return folder


def test_metadata_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a model folder with classifier.json"):
        read_metadata(tmp_path)
    assert read_metadata(write(tmp_path / "one"))["source"] == {}
    with pytest.raises(IntegrityError, match="expected a model folder of format 1, got 2"):
        read_metadata(write(tmp_path / "two", format=2))


def test_the_images_that_a_model_has_seen(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", source={"seen": "unknown"})
    assert seen_images(folder) == {7}
    assert not seen_is_known(folder)
    assert seen_is_known(write(tmp_path / "declared", source={"seen": "declared"}))
    (folder / "seen.txt").write_text(f"{8:016x}\n")
    with pytest.raises(IntegrityError, match="damaged"):
        seen_images(folder)
