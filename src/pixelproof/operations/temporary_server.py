"""A Prefect server for one run of a flow, where no other is set."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from pixelproof.operations.servers import answers, free_port, prefect_server
from pixelproof.system.processes import bound
from pixelproof.system.surroundings import check_home

SERVER_SECONDS = 120.0


@contextmanager
def temporary_server() -> Iterator[None]:
    """Make sure of a Prefect server: the one that is set, else one that ends with this process.

    Prefect's own temporary server would outlive a process that is killed.
    """
    if PREFECT_API_URL.value():
        yield
        return
    check_home()
    own = prefect_server(free_port(0))
    environment = os.environ | own.variables
    environment |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
    # In a session of its own, or Ctrl-C would end it before the flow that reports to it.
    process = subprocess.Popen(bound(own.command), env=environment, start_new_session=True)
    url, password = own.access[PREFECT_API_URL.name], own.access[PREFECT_API_AUTH_STRING.name]
    try:
        if not answers(f"{url}/health", process, SERVER_SECONDS):
            problem = "the temporary Prefect server did not start; set PREFECT_API_URL"
            raise SystemExit(f"pixelproof: {problem}")
        with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: password}):
            yield
            APILogWorker.drain_all(timeout=10)  # else the last lines find no server
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
