"""`pixelproof stage`: one stage of dvc.yaml, by itself."""

import importlib
import inspect
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pixelproof.errors import ParameterError

if TYPE_CHECKING:
    from pixelproof.params.project import Params

STAGES = ("select", "baseline", "generate", "finetune", "attack", "evaluate", "compare")
_ITEM_OF = {
    "baseline": "baselines",
    "finetune": "finetune.arms",
    "attack": "baselines",
    "evaluate": "models",
}


def run_stage(name: str, item: str | None = None) -> None:
    """Run one stage, and send its record to the tracking store.

    Args:
        name: One of `STAGES`.
        item: The baseline, arm or model, for a stage that runs once for each.

    Raises:
        ParameterError: There is no such stage; the item is missing, unknown or not wanted.
    """
    from pixelproof.params.validation import choose

    choose("stage", name, STAGES)
    from pixelproof.params.behaviour import check_behaviour, read_record
    from pixelproof.params.project import load_params
    from pixelproof.system.processes import die_with_parent
    from pixelproof.system.tuning import keep_memory
    from pixelproof.tracking.session import ready, tell

    die_with_parent()
    keep_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # repeatable sums on a GPU
    check_behaviour([name], read_record())
    params = load_params()
    known: dict[str, Mapping[str, object]] = {
        "baselines": params.baselines,
        "finetune.arms": params.finetune.arms,
        "models": params.models,
    }
    key = _ITEM_OF.get(name)
    if (key is None) != (item is None):
        expected = f"one of {list(known[key])}" if key else "nothing"
        raise ParameterError(f"stage {name}: expected {expected} after it, got {item!r}")
    ready()
    started = time.time()
    if key is not None and item is not None:
        choose(key, item, known[key])
    execute(name, params, item)
    tell(params, name, item, started)


def execute(name: str, params: "Params", item: str | None = None) -> None:
    """Run a stage in this process, and hand it what its signature asks for and no more.

    That is what keeps the parameters of other stages out of its dependencies: `params` is all of
    them, `name` the item, and every other argument an attribute of `Params`, as a section is.

    Args:
        name: One of `STAGES`.
        params: Of the project.
        item: The baseline, arm or model.
    """
    run = importlib.import_module(f"pixelproof.stages.{name}").run
    whole = {"params": params, "name": item}
    asked = inspect.signature(run).parameters
    run(**{key: whole[key] if key in whole else getattr(params, key) for key in asked})
