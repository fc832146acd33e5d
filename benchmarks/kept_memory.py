"""How much faster a CPU predicts and trains when a stage keeps its freed memory.

    python -m benchmarks.kept_memory        writes its ratios into benchmarks/results.json

Each run is a process of its own, since the setting holds for a process; the two kinds take
turns, so that what else the machine does falls on both.
"""

import json
import subprocess
import sys
import time

from benchmarks.rounds import entry, record

RUNS = 7


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
    ratios: dict[str, list[float]] = {"predict": [], "train": []}
    for _ in range(RUNS):
        rates = {}
        for kind in ("keep", "default"):
            command = [sys.executable, "-m", "benchmarks.kept_memory", kind]
            rates[kind] = json.loads(
                subprocess.run(command, capture_output=True, check=True).stdout
            )
        for name, found in ratios.items():
            found.append(rates["keep"][name] / rates["default"][name])
    against = "glibc's default, which gives freed memory back"
    record({f"kept_memory_{name}": entry(found, against) for name, found in ratios.items()})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1] == "keep")))
    else:
        main()
