"""What is sent to a tracking store of a run: records, without any tracking library.

A record is identified by its content: the same files give the same record. To send it twice
changes nothing, and a stage that ran long ago can be recorded as well as one that ran now.
"""

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixelproof.params.behaviour import read_record
from pixelproof.params.project import Params
from pixelproof.reporting.provenance import data_hash
from pixelproof.system import files


@dataclass(frozen=True)
class Dataset:
    """The images that a run used.

    Attributes:
        name: What it is called.
        digest: Of its bytes; of the user's images the hash that DVC tracks.
        source: Its path.
        context: `training` or `evaluation`.
        profile: Counts and settings.
    """

    name: str
    digest: str
    source: str
    context: str
    profile: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A part of what a run is recorded with.

    Attributes:
        run: The run's name; empty for the pipeline's own run.
        kind: `model`, `data` or `pipeline`.
        part: Which part of the run this is.
        params: Parameters by which runs are compared.
        metrics: (name, value, step).
        tags: Further facts as text.
        datasets: The images it used.
        artifacts: Files to keep with the run.
        model: The folder of the resulting classifier, or None.
        started: Seconds since 1970.
        ended: Seconds since 1970.
    """

    run: str
    kind: str
    part: str
    params: dict[str, Any] = field(default_factory=dict)
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    model: str | None = None
    started: float = 0.0
    ended: float = 0.0

    @property
    def digest(self) -> str:
        """A hash of the content, without the times."""
        content = dataclasses.asdict(dataclasses.replace(self, started=0.0, ended=0.0))
        content["artifacts"] = [files.sha256(Path(path)) for path in self.artifacts]
        if self.model:
            content["model"] = files.read_json(Path(self.model) / "classifier.json")
        return files.content_hash(content)


def data_digest(params: Params) -> str:
    """The hash of the images that DVC tracks; empty where it tracks none."""
    return data_hash(params.select.data)


def pipeline_key(params: Params) -> str:
    """The key of a pipeline run: a hash of parameters, images, stages and their code.

    The git commit is not part of it: to commit `dvc.lock` or a line of documentation starts no
    new run, while code that is changed without a commit does.
    """
    content = dataclasses.asdict(params)
    del content["compute"], content["gate"]
    stages = Path("dvc.yaml")
    text = stages.read_text(encoding="utf-8") if stages.is_file() else ""
    sources = sorted(set(re.findall(r"- (src/\S+)$", text, re.MULTILINE)))
    hashes = [files.sha256(Path(path)) for path in sources if Path(path).is_file()]
    record = read_record()
    behaviour = [dict(record.stages)] if record else []
    return files.content_hash([content, data_digest(params), text, hashes, *behaviour])
