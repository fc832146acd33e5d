"""What tracking and the flow add to a run, in seconds; run it where `make run` has gone through.

    python -m benchmarks.overhead        writes into benchmarks/results.json

With nothing to do a run is all overhead. A tracked run is set against one that is not, a flow
against `dvc repro`, in turn, so that what else the machine does falls on all. To that comes what
the stages write down while they work.

The share of a whole run that is orchestration: all of the above, without the flow, and the start of
each stage, of the seconds of the last run in which every stage ran, as MLflow has them.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rounds import entry, record
from pixelproof.errors import DataError
from pixelproof.params.project import load_params
from pixelproof.system.processes import environment
from pixelproof.tracking import outbox, records, stage_records
from pixelproof.tracking.client import NEWEST_FIRST, Tracker
from pixelproof.tracking.store import check_store

RUNS = 7
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


def started() -> float:
    """How long the processes of all stages take until they begin to work: what they import."""
    start = time.perf_counter()
    for name in load_params().stages:
        code = f"import pixelproof.cli.main, pixelproof.stages.{name.partition('@')[0]}"
        subprocess.run([PYTHON, "-c", code], check=True)
    return time.perf_counter() - start


def whole_run() -> float:
    """Seconds of the last run in which every stage ran.

    Raises:
        DataError: There is none in the tracking store.
    """
    tracker = Tracker(check_store())
    for run in tracker.search({"pixelproof.kind": "pipeline"}, NEWEST_FIRST):
        if run.data.tags.get("stages.cached") == "" and run.info.status == "FINISHED":
            return float(run.info.end_time - run.info.start_time) / 1000
    raise DataError("expected a tracked run in which every stage ran; run `make run` on a clone")


def main() -> None:
    """Take turns, and record the differences."""
    tracking, flow, shares = [], [], []
    whole = whole_run()
    written_down()  # imports, once
    for _ in range(RUNS):
        taken = {kind: seconds(kind) for kind in KINDS}
        written = written_down()
        tracking.append(taken["tracked"] - taken["off"] + written)
        flow.append(taken["flow"] - taken["repro"])
        shares.append((taken["tracked"] + written + started()) / whole)
        print({kind: round(value, 1) for kind, value in taken.items()}, flush=True)
    record(
        {
            "tracking_seconds": entry(tracking, "the same run without tracking"),
            "flow_seconds": entry(flow, "dvc repro"),
            "overhead_share": entry(shares, f"{whole:.0f} s of the whole run"),
        }
    )


if __name__ == "__main__":
    main()
