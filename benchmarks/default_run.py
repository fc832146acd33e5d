"""Where the time and the memory of the default run go: by stage, and by experiment of one model.

    python -m benchmarks.default_run             runs every stage again: ten minutes on two cores
    python -m benchmarks.default_run --busy 8    beside eight busy processes; far longer
    python -m benchmarks.default_run --stages evaluate@hardened    only some of them

Run it where `data/` is there. Each stage is a process of DVC, as in `dvc repro`, and comes to the
results that it had. Writes benchmarks/default_run.json: by `idle` or `busy`, seconds of the wall
clock and of the processors, and the most memory that one process held.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from benchmarks.busy_machine import busy
from benchmarks.rounds import describe_machine
from pixelproof.operations.stage_graph import stage_graph
from pixelproof.params.project import load_params
from pixelproof.paths import CHANGES, IMAGES, MODELS
from pixelproof.system import files

RESULTS = Path(__file__).with_name("default_run.json")
Figures = dict[str, dict[str, float]]


def run_stage(name: str) -> dict[str, float]:
    """Run one stage through DVC, whether or not anything has changed."""
    began = time.monotonic()
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", "--force", "--quiet", name]
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)  # of it and of all that it has waited for
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"dvc repro {name} ended with {code}")
    return {
        "wall": round(time.monotonic() - began, 1),
        "processor": round(used.ru_utime + used.ru_stime, 1),
        "memory_gib": round(used.ru_maxrss / 2**20, 2),
    }


def run_experiments(name: str) -> dict[str, float]:
    """Seconds of the wall clock by experiment, of a model that is evaluated in this process."""
    from pixelproof.data.image_set import load_images
    from pixelproof.evaluation.experiments import asked, measure
    from pixelproof.evaluation.ledger import LedgerWriter
    from pixelproof.evaluation.measurement import Measurement
    from pixelproof.models.devices import find_device
    from pixelproof.models.loading import load_classifier

    params = load_params()
    images = load_images(IMAGES, "held_out", params.select)
    device = find_device(params.compute.device)
    classifier = load_classifier(MODELS / name).to(device)
    measurement = Measurement(
        params.evaluate,
        name,
        classifier,
        device,
        LedgerWriter(classifier.names(images.classes)),
        images,
        "held_out",
        CHANGES / "test",
        params.evaluate.grids(params.select.side),
        params.models[name].origin,
    )
    seconds = {}
    for experiment in asked(measurement):
        began = time.monotonic()
        measure(measurement, [experiment], lambda amount: None)
        seconds[experiment] = round(time.monotonic() - began, 1)
    return seconds


def main() -> None:
    """Run the stages in their order and write what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--busy", type=int, default=0, help="processes beside it")
    parser.add_argument("--stages", nargs="+", help="all by default")
    parser.add_argument("--experiments", metavar="MODEL", help="print its seconds by experiment")
    given = parser.parse_args()
    if given.experiments:
        print(json.dumps(run_experiments(given.experiments)))
        return
    held = files.read_json(RESULTS) if RESULTS.exists() else {}
    where = "busy" if given.busy else "idle"
    figures: Figures = {}
    with busy(given.busy) if given.busy else nullcontext():
        for name in given.stages or stage_graph():
            figures[name] = run_stage(name)
            print(name, figures[name], flush=True)
        model = next(reversed(load_params().models))
        command = [sys.executable, "-m", "benchmarks.default_run", "--experiments", model]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    held[where] = {"beside": given.busy, "stages": figures}
    held[where]["experiments"] = {model: json.loads(done.stdout.splitlines()[-1])}
    files.write_json(RESULTS, held | {"machine": describe_machine()})


if __name__ == "__main__":
    main()
