"""What processes do at once with one registry; a module of its own, so that they can import it."""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pixelproof.errors import ParameterError
from pixelproof.models.classifier import Classifier
from pixelproof.models.storage import save_classifier
from pixelproof.promotion.contest import settle
from pixelproof.promotion.gate import Verdict, decide
from pixelproof.promotion.registry import Registry
from pixelproof.promotion.version import OUTCOME, Version
from pixelproof.tracking.client import Tracker
from pixelproof.tracking.records import Record
from pixelproof.tracking.sending import Sender
from pixelproof.tracking.store import Store
from tests.conftest import SIZE
from tests.support import planted
from tests.support.tiny_network import factory

Logged = tuple[str, str]  # the ids of a logged model and of its run
WORTH = "worth"  # a tag: how many images a planted model gets wrong when pixels change


def save_model(folder: Path, seed: int) -> Path:
    import torch

    torch.manual_seed(seed)
    network = factory()
    classifier = Classifier(
        network, "python:tiny_network:factory", ("bad", "good"), (0.3,) * 3, (0.2,) * 3, {}
    )
    classifier.side = SIZE
    save_classifier(classifier, folder, [])
    return folder


def open_registry(uri: str, name: str) -> Registry:
    return Registry(Tracker(Store(uri, None)), name)


def nothing() -> None:
    """Import this module, and be done."""


def log_model(registry: Registry, folder: Path) -> Logged:
    record = Record(folder.name, "model", "training", model=str(folder), started=time.time())
    return Sender(registry.tracker).keep_model(record, "races")


def register(registry: Registry, logged: Logged, worth: int) -> Version:
    """A version of its own, whose worth is planted; the model behind it may be another's."""
    weights = hashlib.sha256(str(worth).encode()).hexdigest()
    return registry.register(weights, *logged, {WORTH: str(worth)})


def contend(uri: str, name: str, logged: Logged, worth: int) -> None:
    """Register a planted model, let the gate judge it, and promote it where it passes."""
    registry = open_registry(uri, name)
    version = register(registry, logged, worth)
    settle(registry, version, judge_of(worth), note_of(registry, version), f"racer {worth}")


def override(uri: str, name: str, number: int) -> None:
    """Make a version the champion, as a person does."""
    open_registry(uri, name).override(number, "me", "a race")


def roll_back(uri: str, name: str) -> None:
    """Go back to the version before, as a person does; there may be none."""
    with suppress(ParameterError):
        open_registry(uri, name).roll_back("me", "a race")


def judge_of(worth: int) -> Callable[[Version], Verdict]:
    def judge(champion: Version) -> Verdict:
        theirs = planted.ledger(0.0, stuck=int(champion.tags[WORTH]))
        control = planted.ledger(0.0, stuck=250)
        return decide(planted.ledger(0.0, stuck=worth), theirs, control, planted.params())

    return judge


def note_of(registry: Registry, version: Version) -> Callable[[Version, Verdict], None]:
    def note(champion: Version, verdict: Verdict) -> None:
        tags = {OUTCOME: verdict.outcome, "against": str(champion.number)}
        registry.note(version, tags, f"card of {version.number}")

    return note
