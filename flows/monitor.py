"""The watch over the champion as a Prefect flow: measured alone, on fresh draws."""

from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed, Failed

from pixelproof.errors import PixelproofError
from pixelproof.operations.champion_events import DEGRADED, announce
from pixelproof.operations.stage_runner import Children, places
from pixelproof.operations.workspace import keep_files, own_environment, workspace
from pixelproof.operations.worktrees import bring_data, set_parameters
from pixelproof.paths import GATE
from pixelproof.promotion.model_card import figures_table
from pixelproof.system.files import read_json
from pixelproof.tracking.store import TRACKING

ROOT = Path(__file__).resolve().parent.parent


@flow(name="monitor")
def monitor(
    profile: str | None = None,
    overrides: dict[str, Any] | None = None,
    revision: str | None = "HEAD",
    data: str | None = None,
) -> State:
    """Measure the champion on fresh draws, and warn where Pi lies above its interval.

    Args:
        profile: A profile whose images and reference point to take. Empty: params.yaml.
        overrides: Single parameters by dotted key, for example {"gate.draws": 16}.
        revision: Work at this git revision in a worktree of its own. Empty: in the project's
            folder as it stands.
        data: The text of a data.dvc that names other images than the revision's.
    """
    try:
        keep_files(revision, profile, overrides, data)
        with workspace(ROOT, revision) as folder:
            params = set_parameters(folder, profile, overrides or {})
            if revision is not None:
                bring_data(folder, params, data)
            (place, *_) = places(params.compute)
            result = measure(place | own_environment(), 3600 * params.compute.stage_hours)
            publish(result)
    except PixelproofError as error:
        return Failed(message=str(error))
    return Completed(message=f"{result['outcome']}: {result['words']}")


def measure(environment: dict[str, str], seconds: float) -> dict[str, Any]:
    """Read the images where they are not up to date, measure, and return the result."""
    children, tell = Children(), get_run_logger().info
    try:
        # No pipeline runs here, so that none is logged to MLflow.
        children.reproduce("select", environment | {TRACKING: "off"}, tell, seconds)
        children.run("monitor", ["pixelproof.cli", "monitor"], environment, tell, seconds)
    except BaseException:
        children.stop()
        raise
    result: dict[str, Any] = read_json(Path(GATE) / "monitor.json")
    return result


def publish(result: dict[str, Any]) -> None:
    """Show the result on the flow's page, and warn where the champion is worse."""
    logger = get_run_logger()
    words = f"**{result['outcome']}**: {result['words']}\n\n{figures_table(result['verdict'])}"
    if result["outcome"] == "WORSE":
        logger.warning("the champion is worse than it was: %s", result["words"])
        announce(ROOT, DEGRADED, result)
    try:
        create_markdown_artifact(key="monitor", markdown=words, description=result["words"])
    except Exception as error:  # the work is done, whatever becomes of its page
        logger.warning("the result could not be published: %s", error)
