"""Telling Prefect that there are new images."""

import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pixelproof.errors import DataError, ServiceError
from pixelproof.operations.deployments import configured_url, prefect_client
from pixelproof.operations.servers import PREFECT_AUTH, PREFECT_URL, find_access
from pixelproof.system.projects import LABEL, project_name
from pixelproof.tracking.store import plain

if TYPE_CHECKING:
    from prefect.events import Event

EVENT = "pixelproof.data.announced"
RESOURCE = "pixelproof.data"
ARRIVAL_SECONDS = 30.0


def announce(folder: str) -> str:
    """Announce the images of a folder, as the `.dvc` file beside it has them.

    The server answers before it has kept an event, so this waits until it can be read back.

    Args:
        folder: Of the images.

    Returns:
        What was done, for a person.

    Raises:
        DataError: The `.dvc` file is missing.
        ServiceError: No Prefect server is named, it does not answer, or it does not keep the event.
    """
    path = Path(f"{folder}.dvc")
    if not path.is_file():
        raise DataError(f"{path}: missing; run `dvc add {folder}` first")
    text = path.read_bytes().decode("utf-8")  # byte for byte
    own = find_access()
    url = configured_url() or own.get(PREFECT_URL)
    if url is None:
        raise ServiceError(
            "PREFECT_API_URL: expected the address of a Prefect server, got nothing, and no "
            "`make serve` runs in this folder"
        )
    password = own[PREFECT_AUTH] if own.get(PREFECT_URL) == url else None
    event = _event(folder, text)
    with prefect_client(url, password) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")])
        query = {"filter": {"id": {"id": [str(event.id)]}}}
        end = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < end:
            answer = client.request("POST", "/events/filter", json=query)
            if answer.json()["events"]:
                return f"{path} announced at {plain(url)}"
            time.sleep(0.2)
    raise ServiceError(
        f"Prefect at {plain(url)} has not kept the event within {ARRIVAL_SECONDS:.0f} s"
    )


def _event(folder: str, text: str) -> "Event":
    """The event that carries the text of a pointer."""
    from prefect.events import Event, Resource

    return Event(
        event=EVENT,
        resource=Resource(
            {
                "prefect.resource.id": RESOURCE,
                "prefect.resource.name": folder,
                LABEL: project_name(Path()),
            }
        ),
        payload={"data": text},
        id=uuid4(),
    )
