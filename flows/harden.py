"""The chain of stages as a Prefect flow: `python flows/harden.py`, or a deployment of `harden`.

DVC says which stages there are and which of them need to run; Prefect runs them side by side,
tries again what may pass, stops what takes too long, and shows where it stands.
"""

import os
import queue
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

import prefect
from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed

from pixelproof.children import bound
from pixelproof.errors import PixelproofError
from pixelproof.layout import METRICS
from pixelproof.params import load_params
from pixelproof.pipeline import Children, StageError, places, stage_graph
from pixelproof.report import read_results, result_markdown, verdict
from pixelproof.sender import track_pipeline

ROOT = Path(__file__).resolve().parent.parent
RETRY_SECONDS = 5
SERVER_SECONDS = 120.0


class Workplace:
    """Where the stages of a run work: a few places, which they take in turn."""

    def __init__(self, environments: list[dict[str, str]], seconds: float) -> None:
        """Give each place its environment, and each stage its time."""
        self.children = Children()
        self.free: queue.Queue[dict[str, str]] = queue.Queue()
        for environment in environments:
            self.free.put(environment)
        self.seconds = seconds


@task(cache_policy=NO_CACHE, retry_delay_seconds=RETRY_SECONDS)
def stage(name: str, workplace: Workplace) -> State:
    """Run a stage through DVC; what is worth another try raises, and Prefect tries again."""
    logger = get_run_logger()
    environment = workplace.free.get()
    try:
        workplace.children.reproduce(name, environment, logger.info, workplace.seconds)
    except StageError as error:
        if error.worth_retrying:
            raise
        return Failed(message=str(error))
    finally:
        workplace.free.put(environment)
    return Completed()


def publish(address: str | None) -> str:
    """Put the result where the flow's page shows it; returns what it means in a sentence."""
    summary, table = read_results(METRICS)
    said = verdict(summary)
    links = [f"[MLflow run]({address})"] if address else []
    links += [f"`{METRICS}/results.csv`", "`plots/error_rates.svg`"]
    words = f"{said}\n\n{result_markdown(summary, table)}\n\n{' · '.join(links)}\n"
    try:
        create_markdown_artifact(key="result", markdown=words)
    except Exception as error:  # the work is done, whatever becomes of its page
        get_run_logger().warning("the result could not be published: %s", error)
    return said


@flow(name="harden")
def harden() -> State:
    """Run what is not up to date of the pipeline, and publish the result."""
    os.chdir(ROOT)
    try:
        params = load_params()
        graph = stage_graph()
        with track_pipeline(params, "flows/harden.py") as tracked:
            environments = [one | tracked.environment for one in places(params.compute)]
            workplace = Workplace(environments, 3600 * params.compute.stage_hours)
            failed = run_stages(graph, workplace, params.compute.retries)
            if failed:
                raise StageError("; ".join(failed), worth_retrying=False)
        return Completed(message=publish(tracked.address))
    except PixelproofError as error:
        return Failed(message=str(error))


def run_stages(graph: dict[str, tuple[str, ...]], workplace: Workplace, retries: int) -> list[str]:
    """Run all stages, each after those that it needs; returns what those that failed have said.

    Whatever ends this early, a cancellation among it, ends the stages first.
    """
    futures: dict[str, prefect.futures.PrefectFuture[State]] = {}
    try:
        for name, needs in graph.items():
            one = stage.with_options(task_run_name=name, retries=retries)
            before = [futures[need] for need in needs]
            futures[name] = one.submit(name, workplace, return_state=False, wait_for=before)
        wait(list(futures.values()))
    except BaseException:
        workplace.children.stop()
        raise
    states = [future.state for future in futures.values()]
    # A stage that only waited in vain for another one says nothing that is new.
    return [str(state.message) for state in states if state.is_failed() or state.is_crashed()]


@contextmanager
def server() -> Iterator[None]:
    """Make sure of a Prefect server: the one that is set, else one that ends with this process.

    Prefect's own temporary server would outlive a process that is killed.
    """
    if PREFECT_API_URL.value():
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(prefect.__module_path__.parent)]
    command += ["--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1"]
    command += ["--port", port, "--log-level", "error", "--lifespan", "on"]
    quick = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
    environment = os.environ | quick | {"PREFECT__SERVER_FINAL": "1"}
    # In a session of its own, or Ctrl-C would end it before the flow that reports to it.
    process = subprocess.Popen(bound(command), env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{port}/api"
    try:
        _wait_for(f"{url}/health", process)
        with temporary_settings({PREFECT_API_URL: url}):
            yield
            APILogWorker.drain_all(timeout=10)  # else the last lines find no server
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + SERVER_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("pixelproof: the temporary Prefect server did not start; set PREFECT_API_URL")


def main() -> int:
    """Run the flow here and now; returns the exit code."""
    try:
        with server():
            state = harden(return_state=True)
    except KeyboardInterrupt:
        # The stages are stopped and the run is recorded. What Prefect's threads would still say
        # to a server that is gone they would try to say for minutes.
        print("pixelproof: interrupted", file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGINT)
    if state.is_completed():
        return 0
    print(f"pixelproof: {state.message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
