"""Runs stages through DVC: where they can work side by side, watched, and stopped at once."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from pixelproof.errors import PipelineError, ServiceError
from pixelproof.params.compute import Compute
from pixelproof.system.processes import bound, environment

CORES_A_STAGE = 4  # as many as one stage makes good use of
GRACE_SECONDS = 5.0
_BUSY = ("Unable to acquire lock", "is being blocked by", "is busy")


class StageError(PipelineError):
    """A stage failed.

    Attributes:
        worth_retrying: Whether the cause may pass: a service, a lock, a process that was killed.
    """

    def __init__(self, message: str, worth_retrying: bool) -> None:
        super().__init__(message)
        self.worth_retrying = worth_retrying


def count_gpus() -> int:
    """How many GPUs there are to use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([number for number in visible.split(",") if number.strip() not in ("", "-1")])
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    return done.stdout.count("GPU ") if done.returncode == 0 else 0


def places(compute: Compute) -> list[dict[str, str]]:
    """The places where stages can run side by side: what each finds in its environment.

    With GPUs there is one place a GPU; else one for four cores, which share the cores, so that
    stages do not take them from each other. With a single place nothing is set, and
    a stage computes the same bytes as under `dvc repro`.
    """
    named = compute.device.startswith("cuda:")
    gpus = 0 if compute.device == "cpu" else 1 if named else count_gpus()
    cores = len(os.sched_getaffinity(0))
    count = compute.parallel or gpus or max(1, cores // CORES_A_STAGE)
    if gpus > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        numbers = visible.split(",")
        return [{"CUDA_VISIBLE_DEVICES": numbers[at % gpus]} for at in range(count)]
    threads = {"OMP_NUM_THREADS": str(max(1, cores // count))} if count > 1 and not gpus else {}
    return [dict(threads) for _ in range(count)]


def _failure(stage: str, lines: list[str], ended: int) -> StageError:
    """What went wrong, from what DVC and the stage wrote, and how DVC itself ended."""
    text = "\n".join(lines)
    code = int((re.findall(r"exited with (-?\d+)", text) or ["1"])[-1])
    ours = [line.removeprefix("pixelproof: ") for line in lines if line.startswith("pixelproof: ")]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = (ours or errors or lines or ["it wrote nothing"])[-1]
    killed = ended < 0 or code < 0 or code == 128 + signal.SIGKILL
    if killed and not ours:
        reason = "it was killed; the memory may have been full"
    busy = any(words in text for words in _BUSY)
    retry = killed or busy or code == ServiceError.exit_code
    return StageError(f"{stage}: {reason}", retry)


class Children:
    """The stages that run now, so that all can be stopped at once."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def reproduce(
        self,
        stage: str,
        variables: Mapping[str, str],
        tell: Callable[[str], object],
        seconds: float,
    ) -> None:
        """Run a stage through DVC, where it is not up to date.

        Args:
            stage: As DVC calls it.
            variables: What it finds in its environment beside ours.
            tell: Is given each line that DVC and the stage write.
            seconds: After which it is stopped.

        Raises:
            StageError: It failed, took too long or was stopped.
        """
        # The lock is that of the workspace: another stage may hold it for a moment.
        command = ["dvc", "--wait-for-lock", "repro", "--single-item", stage]
        self.run(stage, command, variables, tell, seconds)

    def run(
        self,
        stage: str,
        module: list[str],
        variables: Mapping[str, str],
        tell: Callable[[str], object],
        seconds: float,
    ) -> None:
        """Run a Python module; `stage` is what errors call it, the rest as above."""
        process = self._start(stage, [sys.executable, "-m", *module], variables)
        late = threading.Event()

        def stop_late() -> None:
            late.set()
            _stop([process])

        limit = threading.Timer(seconds, stop_late)
        limit.daemon = True
        limit.start()
        lines: list[str] = []
        try:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    if line.strip():
                        lines.append(line.rstrip())
                        tell(lines[-1])
            code = process.wait()
        finally:
            limit.cancel()
            _stop([process])
            process.wait()
            with self._lock:
                self._running.discard(process)
        if self._stopped:
            raise StageError(f"{stage}: stopped", worth_retrying=False)
        if late.is_set():
            hours = f"{seconds / 3600:g} h"
            raise StageError(f"{stage}: stopped after {hours} (compute.stage_hours)", False)
        if code != 0:
            raise _failure(stage, lines, code)

    def _start(
        self, stage: str, command: list[str], variables: Mapping[str, str]
    ) -> "subprocess.Popen[str]":
        with self._lock:
            if self._stopped:
                raise StageError(f"{stage}: stopped", worth_retrying=False)
            process = subprocess.Popen(
                bound(command),
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # a group of its own, which a signal reaches whole
            )
            self._running.add(process)
        return process

    def stop(self) -> None:
        """Stop all that runs, and let nothing start any more."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        _stop(running)


def _stop(processes: list["subprocess.Popen[str]"]) -> None:
    """End process groups: SIGTERM, then SIGKILL."""
    end = time.monotonic() + GRACE_SECONDS
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.poll() is None or number == signal.SIGKILL:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, number)
        while number == signal.SIGTERM and time.monotonic() < end:
            if all(process.poll() is not None for process in processes):
                break
            time.sleep(0.05)
