"""A toy project: small images of two classes that a tiny network can tell apart."""

import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pixelproof.params.project import Params, load_params

if TYPE_CHECKING:
    from tests.support.toys import Toys

# A shell has what it starts in the background ignore Ctrl-C, and all that is started from there.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Before torch is loaded: the toy's batches are too small to share, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent
SIZE = 16
collect_ignore = ["support/broken_network.py"]  # it cannot be imported, as it should


# The files that take longest, so that they start first and all processes end together.
LONGEST = (
    "test_scheduled_hardening.py",
    "test_serve.py",
    "test_repair.py",
    "test_contest.py",
    "test_harden.py",
    "test_registry.py",
    "test_dvc.py",
    "test_provenance.py",
    "test_same_results.py",
    "test_history.py",
    "test_studies.py",
    "test_changed_keys.py",
    "test_contributing.py",
    "test_recipe.py",
    "test_own_repository.py",
    "test_team.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first; the others keep their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


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


def enter_project(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Fill a folder with toy images, toy parameters and the tiny network, and work in it."""
    patch.chdir(folder)
    patch.setenv("PIXELPROOF_TRACKING", "off")
    write_data(folder / "data")
    write_params(folder / "params.yaml")
    shutil.copy(ROOT / "tests" / "support" / "tiny_network.py", folder)
    patch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with toy images, toy parameters and the tiny network; the working directory."""
    return enter_project(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> "Toys":
    """Copies of the toy project; the processes of a session share the first of each."""
    from tests.support.toys import Toys  # which imports this module

    own = tmp_path_factory.getbasetemp()
    return Toys(own.parent if hasattr(request.config, "workerinput") else own)
