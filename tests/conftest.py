"""A toy project: small images of two classes that a tiny network can tell apart."""

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pixelproof.params.project import Params, load_params

ROOT = Path(__file__).parent.parent
SIZE = 16
collect_ignore = ["support/broken_network.py"]  # it cannot be imported, as it should


def draw_image(label: int, seed: int, width: int = 20, height: int = 20) -> Image.Image:
    """Noise with a bright patch: at the left for class 0, at the right for class 1, …"""
    random = np.random.default_rng([label, seed])
    pixels = random.integers(0, 90, (height, width, 3), dtype=np.uint8)
    third = width // 3
    pixels[height // 4 : -height // 4, label * third : (label + 1) * third] += 120
    return Image.fromarray(pixels)


def write_data(root: Path, classes: tuple[str, ...] = ("bad", "good"), count: int = 40) -> None:
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for seed in range(count):
            draw_image(label, seed).save(root / name / f"{seed:03}.png")


def write_params(path: Path, change: Callable[[dict], None] = lambda content: None) -> Params:  # type: ignore[type-arg]
    """Write the toy experiment, changed as told, and load it."""
    content = YAML(typ="safe").load((ROOT / "tests" / "support" / "toy.yaml").read_text())
    change(content)
    with path.open("w") as file:
        YAML(typ="safe").dump(content, file)
    return load_params(path)


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Files cannot grow beyond so many bytes, as on a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with toy images, toy parameters and the tiny network; the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXELPROOF_TRACKING", "off")
    write_data(tmp_path / "data")
    write_params(tmp_path / "params.yaml")
    shutil.copy(ROOT / "tests" / "support" / "tiny_network.py", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path
