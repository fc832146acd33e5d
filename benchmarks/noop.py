"""How long `dvc repro` takes with nothing to do, on the toy project of the tests.

    python -m benchmarks.noop            a minute

Processor seconds of the command and of what it starts: on an idle machine its user waits as long,
on a shared one others would be counted, too.
"""

import os
import tempfile
from pathlib import Path

from tests.support.repository import run
from tests.support.toys import Toys, ran

from benchmarks.rounds import ResultsDifferError, entry, record, take_turns

ROUNDS = 9


def children_seconds() -> float:
    """Processor seconds of all processes that this one has started and that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        shared = Path(name) / "shared"
        shared.mkdir()
        project = Toys(shared).fresh(Path(name) / "toy")
        stages = ran(run(project, "dvc", "repro", off=True))

        def noop() -> None:
            if again := ran(run(project, "dvc", "repro", off=True, cold=True)):
                raise ResultsDifferError(f"nothing has changed, and {sorted(again)} ran again")

        seconds = take_turns({"noop": noop}, ROUNDS, children_seconds)["noop"]
    against = f"processor seconds of `dvc repro`, {len(stages)} stages, none to run"
    record({"noop_seconds": entry(seconds, against)})


if __name__ == "__main__":
    main()
