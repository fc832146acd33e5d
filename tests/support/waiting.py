"""Waits for what happens, with limits that hold on an idle machine and grow on a busy one."""

import os
import time
from collections.abc import Callable
from pathlib import Path


def busy() -> float:
    """How many processes want each processor: 1 where there is one for each of them."""
    average, _, _, now, _ = Path("/proc/loadavg").read_text().split()
    wanting = max(float(average), int(now.partition("/")[0]))
    return max(1.0, wanting / len(os.sched_getaffinity(0)))


def wait(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds, at most so many seconds of an idle machine."""
    start, most = time.monotonic(), 1.0
    while not holds():
        most = max(most, busy())
        assert time.monotonic() - start < seconds * most, f"too late, on a machine {most:.1f} busy"
        time.sleep(0.1)
