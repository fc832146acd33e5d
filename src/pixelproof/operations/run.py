"""A run of the pipeline that a person starts: through DVC, tracked, with its result shown."""

import os
import subprocess
import sys
from pathlib import Path

from pixelproof.errors import PipelineError
from pixelproof.operations.first_look import GPU
from pixelproof.params.project import Params, load_params
from pixelproof.reporting.show import show
from pixelproof.system.processes import bound, environment
from pixelproof.tracking.session import send, track_pipeline

DEMO = Path("profiles/elpv.yaml")


def _hint(params: Params) -> str | None:
    """How to use a GPU that the default profile leaves nearly idle."""
    if not (GPU.exists() and DEMO.is_file() and params == load_params(DEMO)):
        return None
    return (
        "A GPU was found: `pixelproof profile use resnet101 && make run` fine-tunes ResNet101 on "
        "it, as the paper does."
    )


def run_pipeline(params: Params) -> None:
    """Run the pipeline through DVC, track it, and show what came out.

    Raises:
        PipelineError: A stage failed; it has said why.
        ServiceError: The tracking store does not answer.
    """
    if hint := _hint(params):
        print(hint)
    with track_pipeline(params, "pixelproof run") as tracked:
        repro = bound([sys.executable, "-m", "dvc", "repro"])
        process = subprocess.Popen(repro, env=environment(**tracked.environment))
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if code != 0:
            raise PipelineError("a stage failed, see above; `pixelproof run` goes on from there")
    print(show())
    if tracked.address:
        remote = os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http")
        print(f"Compare runs: {tracked.address if remote else 'pixelproof ui'}")


def send_waiting() -> str:
    """Send the records that wait for the tracking store; says how many there were."""
    return f"{send()} records sent"
