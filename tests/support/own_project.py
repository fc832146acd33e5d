"""A person's own repository: ten classes of small gray images, and a project made there."""

from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.support.repository import run

CLASSES = [f"kind-{label}" for label in range(10)]
NETWORK = "\n\ndef ten_classes() -> nn.Module:\n    return TinyNetwork(10)\n"


def start_repository(root: Path, count: int = 14) -> Path:
    """Make a folder a git repository with gray images, a bright stripe for each class."""
    run(root, "git", "init", "-q")
    for label, name in enumerate(CLASSES):
        (root / "data" / name).mkdir(parents=True)
        for number in range(count):
            random = np.random.default_rng([label, number])
            pixels = random.integers(0, 60, (32, 36), dtype=np.uint8)
            pixels[4:-4, 3 * label + 3 : 3 * label + 6] += 180
            Image.fromarray(pixels).save(root / "data" / name / f"{number:02}.png")
    return root


def make_quick(root: Path) -> None:
    """Take a network that trains in a second, and leave out the experiments that search."""
    text = (ROOT / "tests" / "support" / "tiny_network.py").read_text()
    (root / "tiny_network.py").write_text(text + NETWORK)
    yaml = YAML()
    content = yaml.load(root / "params.yaml")
    content["baselines"]["baseline"] |= {
        "classifier": "python:tiny_network:ten_classes",
        "weights": "none",
        "seen": "none",
        "classes": CLASSES,
        "mean": [0.3, 0.3, 0.3],
        "std": [0.2, 0.2, 0.2],
        "epochs": 4,
        "learning_rate": 0.05,
    }
    content["finetune"]["epochs"] = 1
    content["attack"]["epsilon"] = 20
    searches = ("whitebox_iterated", "gradient_free", "worst_pixels", "worst_stuck", "boundary")
    content["evaluate"] |= dict.fromkeys([*searches, "magnitude", "area"])
    content["evaluate"]["engine"] = "torch"
    content["compare"]["resamples"] = 200
    yaml.dump(content, root / "params.yaml")
