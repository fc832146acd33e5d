"""What `pixelproof score` costs beyond the model's own work, and how soon the first number comes.

    python benchmarks/score.py          some minutes on two cores; adds to benchmarks/results.json

EfficientNet-Lite0 at 224 px on the 20 images of the demo set `imagenet-sample`. `score_vs_forward`:
the share of a score's processor time, reading and changing images included, that its forward passes
take; both are counted in the same run, so that other processes do not matter. The first number
is timed from the start of the command to the line that says it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelproof.data.demo import DEMO_SETS, fetch
from pixelproof.scoring.networks import published_target
from pixelproof.scoring.pictures import find_pictures
from pixelproof.scoring.plan import Plan
from pixelproof.scoring.score import score_target
from pixelproof.scoring.target import TargetOptions
from pixelproof.system import files
from pixelproof.system.tuning import keep_memory

RESULTS = Path(__file__).with_name("results.json")
NAME = "efficientnet_lite0"


def share(folder: Path, rounds: int) -> list[float]:
    """The share of the processor time of a score that its forward passes take, in each round."""
    target = published_target(NAME, TargetOptions(device="cpu"))
    passes = 0.0

    def ask(images: Any) -> Any:
        nonlocal passes
        start = time.process_time()
        scores = target.ask(images)
        passes += time.process_time() - start
        return scores

    shares = []
    for _ in range(rounds):
        passes, start = 0.0, time.process_time()
        pictures = find_pictures(folder, None, target.side, target.fit)
        score_target(replace(target, ask=ask), pictures, Plan())
        shares.append(passes / (time.process_time() - start))
    return shares


def first_number(folder: Path, rounds: int) -> list[float]:
    """Seconds from the start of the command to its first number."""
    command = [sys.executable, "-m", "pixelproof.cli", "score", NAME, str(folder)]
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ
        ) as process:
            assert process.stderr is not None
            next(line for line in process.stderr if line.startswith("first draw"))
            seconds.append(time.perf_counter() - start)
            process.terminate()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    keep_memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        fetch(DEMO_SETS["imagenet-sample"], folder)
        measured = {
            "score_vs_forward": (share(folder, rounds), "its forward passes alone"),
            "score_first_seconds": (first_number(folder, rounds), "20 images, from the start"),
        }
    shared = files.read_json(RESULTS)
    for key, (values, against) in measured.items():
        low, value, high = np.quantile(values, [0.025, 0.5, 0.975]).round(3).tolist()
        shared[key] = {
            "value": value, "low": low, "high": high, "runs": rounds, "against": against
        }  # fmt: skip
        print(f"{key}: {value} [{low}, {high}] against {against}")
    files.write_json(RESULTS, shared)


if __name__ == "__main__":
    main()
