"""Who promotes: a flow run, or a person."""

import getpass
import os
import socket

FLOW_RUN = "PIXELPROOF_FLOW_RUN"  # the id of the Prefect run that this is part of


def who() -> str:
    """Who is at work: the flow run, else the user and the machine."""
    flow = os.environ.get(FLOW_RUN)
    if flow:
        return f"flow run {flow}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
