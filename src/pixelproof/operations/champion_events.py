"""Events about the champion, which automations of notifications wait for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelproof.system.projects import LABEL, project_name

CHAMPION = "pixelproof.champion"  # the resource of the events
PROMOTED = f"{CHAMPION}.promoted"
DEGRADED = f"{CHAMPION}.degraded"


def announce(root: Path, event: str, result: Mapping[str, Any]) -> None:
    """Emit an event from within a flow; a failure is only logged, since the work is done.

    Args:
        root: The project's folder.
        event: PROMOTED or DEGRADED.
        result: What became of a challenger or a champion (see `promotion.outcome.Result`).
    """
    from prefect import get_run_logger
    from prefect.events import emit_event

    resource = {
        "prefect.resource.id": CHAMPION,
        "prefect.resource.name": CHAMPION,
        LABEL: project_name(root),
    }
    payload = {key: result[key] for key in ("words", "outcome", "champion", "address")}
    try:
        emit_event(event, resource=resource, payload=payload)
    except Exception as error:
        get_run_logger().warning("%s could not be announced: %s", event, error)
