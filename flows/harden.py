"""The chain of stages, then the gate, as a Prefect flow: `python flows/harden.py`, or deployed.

DVC says which stages there are and which of them need to run; Prefect runs them side by side,
tries again what may pass, stops what takes too long, and shows where it stands. The gate is no
stage: it changes something outside the repository, the champion.
"""

import argparse
import os
import queue
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

import prefect
from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.states import Completed, Failed

from pixelproof.errors import PixelproofError, one_line
from pixelproof.operations.champion_events import PROMOTED, announce
from pixelproof.operations.stage_graph import stage_graph
from pixelproof.operations.stage_runner import Children, StageError, places
from pixelproof.operations.temporary_server import temporary_server
from pixelproof.operations.workspace import keep_files, own_environment, workspace
from pixelproof.operations.worktrees import (
    bring_data,
    check_branch,
    commit_results,
    set_parameters,
)
from pixelproof.params.project import Params, load_params
from pixelproof.paths import GATE, METRICS
from pixelproof.promotion.fresh_draws import gate_of
from pixelproof.promotion.model_card import figures_table, rules_table
from pixelproof.reporting.figures import picture
from pixelproof.reporting.text import read_results, result_markdown
from pixelproof.reporting.verdict import verdict
from pixelproof.system.files import read_json
from pixelproof.tracking.session import track_pipeline
from pixelproof.tracking.store import require_absolute

ROOT = Path(__file__).resolve().parent.parent
RETRY_SECONDS = 5


class Workplace:
    """Where the stages of a run work: a few places, which they take in turn."""

    def __init__(self, environments: list[dict[str, str]], seconds: float) -> None:
        """Give each place its environment, and each stage its time."""
        self.children = Children()
        self.free: queue.Queue[dict[str, str]] = queue.Queue()
        for environment in environments:
            self.free.put(environment)
        self.seconds = seconds


def attempt(workplace: Workplace, work: Callable[[dict[str, str]], None]) -> State:
    """Work at a place, once one is free; what is worth another try raises, and Prefect tries again.

    Args:
        workplace: Of the run.
        work: Is given the place's environment.
    """
    environment = workplace.free.get()
    try:
        work(environment)
    except StageError as error:
        if error.worth_retrying:
            raise
        return Failed(message=str(error))
    finally:
        workplace.free.put(environment)
    return Completed()


@task(cache_policy=NO_CACHE, retry_delay_seconds=RETRY_SECONDS)
def stage(name: str, workplace: Workplace) -> State:
    """Run a stage through DVC."""
    tell, children = get_run_logger().info, workplace.children
    return attempt(
        workplace, lambda place: children.reproduce(name, place, tell, workplace.seconds)
    )


@task(name="gate", cache_policy=NO_CACHE, retry_delay_seconds=RETRY_SECONDS)
def judge(promote: bool, workplace: Workplace) -> State:
    """Judge the challenger in a process of its own, which ends with this one."""
    tell, children = get_run_logger().info, workplace.children
    command = ["pixelproof.cli", "gate", *(["--promote"] if promote else [])]
    return attempt(
        workplace, lambda place: children.run("gate", command, place, tell, workplace.seconds)
    )


def publish(address: str | None, result: Mapping[str, Any] | None) -> str:
    """Put the result where the flow's page shows it; returns what it means in a sentence."""
    summary, table = read_results(METRICS)
    conclusion = verdict(summary)
    links = [f"[MLflow run]({address})"] if address else []
    links += [f"`{METRICS}/results.csv`", "`reports/index.html`"]
    figure = f"![Error rates]({picture(table, load_params())})"
    parts = [conclusion, result_markdown(summary, table), figure, " · ".join(links)]
    if result:
        judged = [f"**{result['words']}**", rules_table(result["verdict"])]
        parts = [*judged, figures_table(result["verdict"]) if result["verdict"] else "", *parts]
    words = "\n\n".join(one for one in parts if one)
    sentence = str(result["words"]) if result else conclusion
    try:
        create_markdown_artifact(key="result", markdown=words, description=sentence)
    except Exception as error:  # the work is done, whatever becomes of its page
        get_run_logger().warning("the result could not be published: %s", error)
    return sentence


@flow(name="harden")
def harden(
    profile: str | None = None,
    overrides: dict[str, Any] | None = None,
    revision: str | None = None,
    data: str | None = None,
    promotion: Literal["off", "dry run", "promote"] = "off",
    branch: str | None = None,
) -> State:
    """Run what is not up to date of the pipeline, judge the challenger, and publish the result.

    Args:
        profile: A profile to run, as in profiles/ (elpv, resnet101, …). Empty: params.yaml.
        overrides: Single parameters by dotted key, for example {"finetune.epochs": 5}.
        revision: Work at this git revision (HEAD, a branch, a tag) in a worktree of its own,
            which leaves your files alone. Empty: work in the project's folder as it stands.
        data: The text of a data.dvc that names other images than the revision's.
        promotion: off leaves the registry alone; dry run only says what the gate would decide;
            promote registers the challenger, which becomes the champion if it passes.
        branch: Commit dvc.lock, parameters and metrics to this git branch. Empty: do not.
    """
    try:
        keep_files(revision, profile, overrides, data)
        with workspace(ROOT, revision) as folder:
            if branch is not None:
                check_branch(folder, branch)
            params = set_parameters(folder, profile, overrides or {})
            if revision is not None:
                bring_data(folder, params, data)
            return run(params, promotion, branch)
    except PixelproofError as error:
        return Failed(message=str(error))


def run(params: Params, promotion: str, branch: str | None) -> State:
    """Run the stages and the gate in the folder that is the working directory.

    Raises:
        PixelproofError: A stage, the gate, MLflow or git failed.
    """
    graph, own = stage_graph(), own_environment()
    logged = None if promotion == "off" else gate_of(params).challenger
    result = None
    with track_pipeline(params, "flows/harden.py", logged) as tracked:
        environments = [place | own | tracked.environment for place in places(params.compute)]
        workplace = Workplace(environments, 3600 * params.compute.stage_hours)
        failed = run_stages(graph, workplace, params.compute.retries)
        if failed:
            raise StageError("; ".join(failed), worth_retrying=False)
    if promotion != "off":
        result = run_judge(promotion == "promote", workplace, params.compute.retries)
        if result["promoted"]:
            announce(ROOT, PROMOTED, result)
    message = publish(tracked.address, result)
    if branch is not None:
        commit = commit_results(Path(), branch, "Results of a scheduled hardening")
        get_run_logger().info("results committed to %s: %s", branch, commit[:12])
    return Completed(message=message)


def run_judge(promote: bool, workplace: Workplace, retries: int) -> dict[str, Any]:
    """Run the gate; returns what it wrote down."""
    try:
        state = judge.with_options(task_run_name="gate", retries=retries)(
            promote, workplace, return_state=True
        )
    except BaseException:
        workplace.children.stop()
        raise
    if not state.is_completed():
        raise StageError(str(state.message), worth_retrying=False)
    found: dict[str, Any] = read_json(GATE / "verdict.json")
    return found


def run_stages(graph: dict[str, tuple[str, ...]], workplace: Workplace, retries: int) -> list[str]:
    """Run all stages, each after those that it needs; returns the messages of those that failed.

    Whatever ends this early, a cancellation among it, ends the stages first.
    """
    futures: dict[str, prefect.futures.PrefectFuture[State]] = {}
    try:
        for name, needs in graph.items():
            named = stage.with_options(task_run_name=name, retries=retries)
            before = [futures[need] for need in needs]
            futures[name] = named.submit(name, workplace, return_state=False, wait_for=before)
        wait(list(futures.values()))
    except BaseException:
        workplace.children.stop()
        raise
    states = [future.state for future in futures.values()]
    # A stage that only waited in vain for another one says nothing that is new.
    return [str(state.message) for state in states if state.is_failed() or state.is_crashed()]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the flow here and now; returns the exit code."""
    parser = argparse.ArgumentParser(description="Run the pipeline as a Prefect flow.")
    parser.add_argument("--profile")
    parser.add_argument("--revision", help="work in a worktree at this git revision")
    parser.add_argument("--promotion", choices=["off", "dry run", "promote"], default="off")
    parser.add_argument("--branch", help="commit the results to this git branch")
    arguments = vars(parser.parse_args(argv))
    try:
        if arguments["revision"] is not None:
            require_absolute()
        with temporary_server():
            state = harden(**arguments, return_state=True)
    except PixelproofError as error:
        print(f"pixelproof: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        # The stages are stopped and the run is recorded. What Prefect's threads would still say
        # to a server that is gone they would try to say for minutes.
        print("pixelproof: interrupted", file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGINT)
    if state.is_completed():
        return 0
    print(f"pixelproof: {one_line(str(state.message))}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
