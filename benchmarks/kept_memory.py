"""How much faster a CPU predicts and trains when a stage keeps its freed memory.

    python benchmarks/kept_memory.py        writes its ratios into benchmarks/results.json

Each run is a process of its own, since the setting holds for a process; the two kinds take
turns, so that what else the machine does falls on both.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 5
RESULTS = Path(__file__).with_name("results.json")


def measure(keep: bool) -> dict[str, float]:
    """Images a second of EfficientNet-Lite0 at 128 pixels, in this process."""
    from pixelproof.system.tuning import keep_memory

    if keep:
        keep_memory()
    import torch

    from pixelproof.models.baseline import open_classifier
    from pixelproof.params.baselines import Baseline

    classifier = open_classifier(Baseline("efficientnet_lite0", epochs=1), ("a", "b"), "x")
    optimizer = torch.optim.SGD(classifier.parameters(), 0.01, momentum=0.9)

    def predict() -> None:
        with torch.inference_mode():
            classifier.eval()(torch.zeros((64, 3, 128, 128), dtype=torch.uint8))

    def train() -> None:
        images = torch.randint(0, 256, (16, 3, 128, 128), dtype=torch.uint8)
        logits = classifier.train()(images)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, torch.arange(16) % 2).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    rates = {}
    for name, step, batch in (("predict", predict, 64), ("train", train, 16)):
        for _ in range(2):
            step()
        start = time.perf_counter()
        for _ in range(8):
            step()
        rates[name] = 8 * batch / (time.perf_counter() - start)
    return rates


def main() -> None:
    """Run both kinds in turn and record the ratios."""
    import torch

    ratios: dict[str, list[float]] = {"predict": [], "train": []}
    for _ in range(RUNS):
        rates = {}
        for kind in ("keep", "default"):
            command = [sys.executable, __file__, kind]
            rates[kind] = json.loads(
                subprocess.run(command, capture_output=True, check=True).stdout
            )
        for name, found in ratios.items():
            found.append(rates["keep"][name] / rates["default"][name])
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, found in ratios.items():
        results[f"kept_memory_{name}"] = {
            "value": round(statistics.median(found), 3),
            "low": round(min(found), 3),
            "high": round(max(found), 3),
            "runs": RUNS,
            "against": "glibc's default, which gives freed memory back",
        }
    results["machine"] = {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0))}
    results["versions"] = {"python": platform.python_version(), "torch": torch.__version__}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(RESULTS.read_text())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1] == "keep")))
    else:
        main()
