"""Says whether two revisions compute the same, by running the toy experiment of both here.

    python tools/same_results.py            the revision of dvc.lock, and what lies here
    python tools/same_results.py OLD        another revision, and what lies here

    python tools/same_results.py --accept   and have DVC take what is here as the new code's

An edit of words makes stages stale, though it changes no result. With `--accept`, where this finds
no difference and nothing but code has changed, the results that are there are recorded as those
of the new code, and `dvc repro` has nothing to do.

Both run on this machine with the same number of threads, since another machine rounds otherwise.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXACT = (
    *("*.npy", "model.safetensors", "seen.txt"),
    *("results.csv", "boundary.csv", "attacks.csv", "summary.json"),
    *("error_rates.svg", "summary.md", "index.html"),
)
# Runs all stages in one process, through the command line: the one interface that all revisions
# have. The toy's data is drawn by the program's own code, so that it is the same for both.
RUN = """
import json, sys
from importlib import import_module
try:
    main = import_module("pixelproof.cli.main").main
except ModuleNotFoundError:
    main = import_module("pixelproof.cli").main
for step in json.loads(sys.argv[1]):
    if code := main(["stage", *step]):
        sys.exit(f"stage {' '.join(step)} ended with {code}")
"""


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """The files of a revision, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", revision], cwd=ROOT, capture_output=True, check=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def draw_data(folder: Path, images: int = 40) -> None:
    """Two classes of noise with a bright patch, at the left or at the right."""
    import numpy as np
    from PIL import Image

    for label, name in enumerate(("bad", "good")):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            random = np.random.default_rng([label, number])
            pixels = random.integers(0, 90, (20, 20, 3), dtype=np.uint8)
            pixels[5:-5, label * 6 : (label + 1) * 6] += 120
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")


def steps(params: Path) -> list[list[str]]:
    """The stages of an experiment with their items, in an order in which they can run."""
    from ruamel.yaml import YAML

    content: dict[str, Any] = YAML(typ="safe").load(params.read_text(encoding="utf-8"))
    return [
        ["select"],
        *(["baseline", name] for name in content["baselines"]),
        ["generate"],
        *(["finetune", name] for name in content["finetune"]["arms"]),
        *(["attack", name] for name in content["baselines"]),
        *(["evaluate", name] for name in content["models"]),
        ["compare"],
    ]


def toy_of(source: Path) -> tuple[Path, Path]:
    """The toy experiment and its network, wherever a revision keeps them."""
    found = [next(source.glob(f"tests/**/{name}")) for name in ("toy.yaml", "tiny_network.py")]
    return found[0], found[1]


def run_toy(source: Path, project: Path) -> dict[str, str]:
    """Run the toy experiment with the code of a revision; the hash of each result, by name."""
    params, network = toy_of(source)
    project.mkdir()
    draw_data(project / "data")
    shutil.copy(params, project / "params.yaml")
    shutil.copy(network, project)
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "PIXELPROOF_TRACKING": "off"}
    command = [sys.executable, "-c", RUN, json.dumps(steps(params))]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{source}: the toy experiment failed: {done.stderr.strip().splitlines()[-1]}")
    return {**exact_results(project), **ledger_rows(project)}


def exact_results(project: Path) -> dict[str, str]:
    """The SHA-256 of each file that must be the same bytes, from images to report."""
    found = sorted(path for pattern in EXACT for path in project.rglob(pattern))
    return {
        str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
    }


def ledger_rows(project: Path) -> dict[str, str]:
    """The SHA-256 of each ledger's rows; how Parquet stores them is no result."""
    import pandas as pd

    return {
        str(path.relative_to(project)): hashlib.sha256(
            pd.read_parquet(path).to_csv(index=False).encode()
        ).hexdigest()
        for path in sorted(project.rglob("*.parquet"))
    }


def revision_of_lock() -> str:
    """The newest commit that changed dvc.lock."""
    command = ["git", "log", "-1", "--format=%H", "--", "dvc.lock"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def dvc(*command: str) -> str:
    """What a command of DVC answers; its error ends this program."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"dvc {' '.join(command)} failed, see above")
    return done.stdout


def other_changes(status: dict[str, Any]) -> list[str]:
    """What has changed beside the code, from `dvc status --json`: what only a run can mend."""
    found = []
    for stage, changes in status.items():
        for change in changes:
            paths = change.get("changed deps", {}) if isinstance(change, dict) else {}
            if not paths or not all(path.startswith("src/") for path in paths):
                found.append(f"{stage}: {json.dumps(change)}")
    return found


def main() -> None:
    """Run both and compare; exit status 1 where a result differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", nargs="?", help="a git revision; by default that of dvc.lock")
    parser.add_argument("--accept", action="store_true", help="record results as the new code's")
    arguments = parser.parse_args()
    old = arguments.old or revision_of_lock()
    if arguments.accept and (others := other_changes(json.loads(dvc("status", "--json")))):
        sys.exit(f"not the code alone has changed, run `dvc repro`: {'; '.join(others)}")
    print(f"The toy experiment at {old[:12]} …", flush=True)
    with checkout(old) as source, tempfile.TemporaryDirectory() as folder:
        before = run_toy(source, Path(folder) / "old")
        print("… and with the code that lies here …", flush=True)
        after = run_toy(ROOT, Path(folder) / "new")
    different = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    if different:
        sys.exit(f"not the same: {', '.join(different)}")
    print(f"{len(before)} results are the same.")
    if arguments.accept:
        dvc("commit", "--force", "--quiet")
        print("DVC takes the results that are here as those of this code; commit dvc.lock.")


if __name__ == "__main__":
    main()
