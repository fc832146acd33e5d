"""The pipeline as DVC knows it: its stages, and what each needs."""

from graphlib import TopologicalSorter
from pathlib import Path

from pixelproof.errors import PipelineError


def stage_graph(root: Path = Path()) -> dict[str, tuple[str, ...]]:
    """The stages in an order in which they can run, each with those that it needs.

    Args:
        root: The folder of `dvc.yaml`.

    Returns:
        For each stage, as `dvc repro` calls it, the stages that it needs itself.

    Raises:
        PipelineError: DVC cannot read the pipeline.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph  # its edges go from a stage to what it needs
    except DvcException as error:
        raise PipelineError(f"{root.resolve()}: {error}") from None
    needs = {
        stage.addressing: tuple(need.addressing for need in graph[stage] if not need.is_data_source)
        for stage in graph
        if not stage.is_data_source
    }
    return {name: tuple(sorted(needs[name])) for name in TopologicalSorter(needs).static_order()}
