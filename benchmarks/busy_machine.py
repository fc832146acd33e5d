"""What it costs, and what it gains, that waiting OpenMP threads soon sleep instead of spinning.

    python -m benchmarks.busy_machine       writes its figures into benchmarks/results.json

Images a second of fine-tuning, on the machine as it is and beside eight busy one-thread
processes. Each measurement is a process of its own, since OpenMP reads its settings once. The
settings take turns in each round, so that what else the machine does falls on all of them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.rounds import entry, record

BUSY = 8
SIDE, BATCH = 128, 16
STEPS, SECONDS = 24, 8.0  # of a measurement, whichever ends first
# OpenMP's default, and what pixelproof sets (see pixelproof.system.tuning).
SETTINGS = {"default": {"GOMP_SPINCOUNT": "300000"}, "tuned": {}}
PASSIVE = {"passive": {"OMP_WAIT_POLICY": "PASSIVE"}}  # never to look for work
OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def measure() -> float:
    """Images a second of fine-tuning EfficientNet-Lite0 at 128 pixels, in this process."""
    from pixelproof.system.tuning import keep_memory, limit_spinning

    limit_spinning()
    keep_memory()
    import torch

    from pixelproof.models.baseline import open_classifier
    from pixelproof.params.baselines import Baseline

    baseline = Baseline("efficientnet_lite0", weights="none", epochs=1)
    classifier = open_classifier(baseline, ("a", "b"), "x").train()
    optimizer = torch.optim.SGD(classifier.parameters(), 0.01, momentum=0.9)
    images = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    labels = torch.arange(BATCH) % 2

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(classifier(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step()
    start, done = time.perf_counter(), 0
    while done < STEPS and time.perf_counter() - start < SECONDS:
        step()
        done += 1
    return done * BATCH / (time.perf_counter() - start)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many processes of one thread busy."""
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def measure_apart(variables: dict[str, str]) -> float:
    """Images a second in a process that finds these variables."""
    inherited = {key: value for key, value in os.environ.items() if key not in OPENMP}
    command = [sys.executable, "-m", "benchmarks.busy_machine", "--once"]
    done = subprocess.run(
        command, env={**inherited, **variables}, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main(rounds: int, settings: dict[str, dict[str, str]]) -> None:
    """Run the settings in turn, idle and busy, and record the ratios."""
    rates: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds):
        for others in (0, BUSY):
            with busy(others):
                for name, variables in settings.items():
                    rate = measure_apart(variables)
                    rates.setdefault((name, others), []).append(rate)
                    print(f"round {number + 1}: {others} busy, {name}: {rate:.1f} images/s")
    figures = {}
    for others, where in ((0, "idle"), (BUSY, "busy")):
        for name in settings.keys() - {"default"}:
            pairs = zip(rates[name, others], rates["default", others], strict=True)
            ratios = [new / old for new, old in pairs]
            figures[f"train_{name}_{where}"] = entry(ratios, "OpenMP's default, 300,000 spins")
    pairs = zip(rates["tuned", BUSY], rates["tuned", 0], strict=True)
    kept = [busy_rate / idle_rate for busy_rate, idle_rate in pairs]
    figures["train_busy_share"] = entry(kept, "the same training on an idle machine")
    record(figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--once", action="store_true", help="print one measurement")
    parser.add_argument("--passive", action="store_true", help="also threads that never spin")
    arguments = parser.parse_args()
    settings = {**SETTINGS, **(PASSIVE if arguments.passive else {})}
    print(measure()) if arguments.once else main(arguments.rounds, settings)
