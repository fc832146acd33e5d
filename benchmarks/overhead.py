"""What tracking and the flow add to a run, in seconds; run it where `make run` has gone through.

    python benchmarks/overhead.py        writes into benchmarks/results.json

With nothing to do a run is all overhead. A tracked run is set against one that is not, a flow
against `dvc repro`, in turn, so that what else the machine does falls on all. To that comes what
the stages write down while they work.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pixelproof.params.project import load_params
from pixelproof.system.processes import environment
from pixelproof.tracking import outbox, records, stage_records

RUNS = 5
RESULTS = Path(__file__).with_name("results.json")
PYTHON = sys.executable
KINDS = {
    "off": ([PYTHON, "-m", "pixelproof.cli", "run"], {"PIXELPROOF_TRACKING": "off"}),
    "tracked": ([PYTHON, "-m", "pixelproof.cli", "run"], {}),
    "repro": ([PYTHON, "-m", "dvc", "repro"], {"PIXELPROOF_TRACKING": "off"}),
    "flow": ([PYTHON, "flows/harden.py"], {"PIXELPROOF_TRACKING": "off"}),
}


def seconds(kind: str) -> float:
    """How long one command takes."""
    command, variables = KINDS[kind]
    start = time.perf_counter()
    subprocess.run(command, env=environment(**variables), capture_output=True, check=True)
    return time.perf_counter() - start


def written_down() -> float:
    """How long all stages together take to write down what they have to show."""
    params = load_params()
    total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        outbox.SPOOL = Path(folder)
        for name in params.stages:
            stage, _, item = name.partition("@")
            start = time.perf_counter()
            found = stage_records.of_stage(params, stage, item or None)
            outbox.put(found, name, records.pipeline_key(params), None)
            total += time.perf_counter() - start
    return total


def entry(differences: list[float], against: str) -> dict[str, object]:
    """The median and the range of some differences."""
    value, low, high = statistics.median(differences), min(differences), max(differences)
    bounds = {"value": round(value, 1), "low": round(low, 1), "high": round(high, 1)}
    return {**bounds, "runs": len(differences), "against": against}


def main() -> None:
    """Take turns, and record the differences."""
    tracking, flow = [], []
    written_down()  # imports, once
    for _ in range(RUNS):
        taken = {kind: seconds(kind) for kind in KINDS}
        tracking.append(taken["tracked"] - taken["off"] + written_down())
        flow.append(taken["flow"] - taken["repro"])
        print({kind: round(value, 1) for kind, value in taken.items()}, flush=True)
    results = json.loads(RESULTS.read_text())
    results["tracking_seconds"] = entry(tracking, "the same run without tracking")
    results["flow_seconds"] = entry(flow, "dvc repro")
    results["machine"]["cores"] = len(os.sched_getaffinity(0))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
