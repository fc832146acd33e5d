"""The toy project with networks whose worth is planted."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.support.repository import make_repository, run

FRAGILE = {
    "classifier": "python:planted_networks:fragile",
    "weights": "none",
    "seen": "none",
    "classes": ["bad", "good"],
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
    "epochs": 0,
}
ROBUST = FRAGILE | {"classifier": "python:planted_networks:robust"}


def _planted(content: dict[str, Any]) -> None:
    """An original that a hot pixel fools, and arms that are hardly trained any further."""
    content["baselines"] = {"baseline": FRAGILE}
    content["finetune"] |= {"epochs": 1, "learning_rate": 0.0001}
    content["attack"] = {"epsilon": 120}
    content["evaluate"] = dict.fromkeys(content["evaluate"]) | {  # DVC wants each key to be there
        "draws": 2,
        "protocols": ["held_out"],
        "transfer_fgsm": True,
        "batch_size": 32,
        "stuck": {"n": [64]},
        "whitebox_fgsm": {"epsilon": [4]},
        "whitebox_iterated": {"epsilon": [4], "steps": [3], "images": 30},
    }
    content["gate"] |= {"accuracy_margin": 0.2, "attack_margin": 0.2, "draws": 4}
    content["compute"] = {"parallel": 2}


def better(content: dict[str, Any]) -> None:
    content["baselines"]["sound"] = ROBUST
    content["finetune"]["arms"]["stuck-8"] |= {"baseline": "sound"}
    origins = {"baseline": "baseline", "sound": "sound", "clean": "baseline", "stuck-8": "sound"}
    content["models"] = {name: {"origin": origin} for name, origin in origins.items()}


def worse(content: dict[str, Any]) -> None:
    del content["baselines"]["sound"]
    content["finetune"]["arms"]["stuck-8"] |= {"baseline": "baseline", "seed": 9}
    names = ("baseline", "clean", "stuck-8")
    content["models"] = {name: {"origin": "baseline"} for name in names}


def commit(root: Path, change: Callable[[dict[str, Any]], None], words: str) -> None:
    yaml = YAML(typ="safe")
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    content = yaml.load(root / "params.yaml")
    change(content)
    yaml.dump(content, root / "params.yaml")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", words)


def make_planted(root: Path) -> Path:
    """A repository whose original and arms a hot pixel fools."""
    root.mkdir()
    make_repository(root)
    shutil.copy(ROOT / "tests" / "support" / "planted_networks.py", root)
    commit(root, _planted, "planted")
    return root
