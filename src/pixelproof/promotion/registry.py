"""The registry of models: versions with their verdicts, and the aliases that say which is in use.

`champion` is the version in use, `previous` the one before it. Every step looks first for what an
earlier, interrupted try has left, so that all steps are idempotent; the aliases move under a lock,
after the champion has been read again. Two aliases cannot move at once, and a process may be killed
between them. So each version gets, before it becomes champion, a tag with the number of the version
to go back to, which `roll_back` uses; the alias `previous` follows, for people to read.
"""

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pixelproof.errors import DataError, IntegrityError, ParameterError, ServiceError
from pixelproof.params.gate import Gate
from pixelproof.promotion.version import (
    ANOTHER,
    BACK,
    CHAMPION,
    FROM,
    MODEL,
    PREVIOUS,
    REFUSED,
    WEIGHTS,
    Version,
    check_origin,
)
from pixelproof.system import files
from pixelproof.system.locks import hold
from pixelproof.tracking.client import Tracker
from pixelproof.tracking.logged_models import create_version, download_model
from pixelproof.tracking.store import check_store, enabled

LOCK_SECONDS = 300.0


class Registry:
    """The versions of one model."""

    def __init__(self, tracker: Tracker, name: str) -> None:
        """Open the registry.

        Args:
            tracker: Of the store that holds it.
            name: Of the model.
        """
        self.name = name
        self.tracker = tracker

    def lock(self) -> AbstractContextManager[None]:
        """Hold the right to move the aliases: one process of this user on this machine.

        MLflow itself has no lock to hold.

        Raises:
            ServiceError: Another process has it, and keeps it.
        """
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        path = cache / "pixelproof" / f"{self.name}.lock"
        words = f"{path}: another process has held it for {LOCK_SECONDS:.0f} s; end that one"
        return hold(path, ServiceError(words), LOCK_SECONDS)

    def versions(self) -> list[Version]:
        """All versions, the oldest first."""
        with self.tracker.service() as client:
            versions = client.search_model_versions(f"name = '{self.name}'")
        return sorted(map(self._version, versions), key=lambda version: version.number)

    def _version(self, registered: Any) -> Version:
        return Version(
            number=int(registered.version),
            weights=registered.tags.get(WEIGHTS, ""),
            tags=dict(registered.tags),
            run=str(registered.run_id or ""),
            model=registered.tags.get(MODEL, ""),
        )

    def at(self, alias: str) -> Version | None:
        """The version that an alias stands for; None where there is none."""
        with self.tracker.service() as client:
            models = client.search_registered_models(f"name = '{self.name}'")
            number = models[0].aliases.get(alias) if models else None
            if number is None:
                return None
            return self._version(client.get_model_version(self.name, str(number)))

    def with_weights(self, weights: str) -> Version | None:
        """The version with these weights; None where there is none."""
        return next((version for version in self.versions() if version.weights == weights), None)

    def register(self, weights: str, model: str, run: str, tags: Mapping[str, str]) -> Version:
        """The version with these weights; made where there is none, once however often asked.

        Args:
            weights: The SHA-256 of the weights.
            model: The id of the logged model.
            run: The id of the run that made it.
            tags: What is known of it.

        Raises:
            ServiceError: The registry does not answer, or refuses.
        """
        with self.lock():
            if existing := self._one_with(weights):
                return existing
            all_tags = {**tags, WEIGHTS: weights, MODEL: model}
            create_version(self.tracker, self.name, model, run, all_tags)
            made = self._one_with(weights)
        if made is None:
            raise IntegrityError(f"{self.name}: a version was registered and is not there")
        return made

    def _one_with(self, weights: str) -> Version | None:
        """The version with these weights, without what a lost reply has made a second time."""
        equal = [version for version in self.versions() if version.weights == weights]
        for twin in equal[1:]:
            with self.tracker.service() as client:
                client.delete_model_version(self.name, str(twin.number))
        return equal[0] if equal else None

    def note(self, version: Version, tags: Mapping[str, str], card: str | None = None) -> None:
        """Put tags, and a description, to a version."""
        with self.tracker.service() as client:
            for key, value in tags.items():
                client.set_model_version_tag(self.name, str(version.number), key, value)
            if card is not None:
                words = card[:5000]  # as much as MLflow's table holds
                client.update_model_version(self.name, str(version.number), words)

    def promote(self, version: Version, expected: Version | None, by: str) -> bool:
        """Make a version the champion, if the champion is still the one it was judged against.

        Args:
            version: To become champion.
            expected: Against which it was judged; None where there was none.
            by: Who or what promotes it.

        Returns:
            Whether it is the champion now; False where another one has become it meanwhile.
        """
        with self.lock():
            champion = self.at(CHAMPION)
            if champion is not None and champion.number == version.number:
                self._follow(champion)
                return True
            if (champion and champion.number) != (expected and expected.number):
                return False
            self._move(version, champion, by)
        return True

    def _move(self, version: Version, former: Version | None, by: str) -> None:
        tags = {FROM: str(former.number) if former else "", BACK: "", "promoted.by": by}
        tags["promoted.at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.note(version, tags)
        self._point(CHAMPION, version.number)
        if former is not None:
            self._point(PREVIOUS, former.number)

    def _point(self, alias: str, number: int) -> None:
        with self.tracker.service() as client:
            client.set_registered_model_alias(self.name, alias, str(number))

    def _before(self, champion: Version) -> Version | None:
        """The version to go back to; a champion that a person has set in MLflow has no such tag."""
        number = champion.tags.get(FROM, "")
        if not number:
            previous = self.at(PREVIOUS)
            return previous if previous and previous.number != champion.number else None
        return next((version for version in self.versions() if str(version.number) == number), None)

    def _follow(self, champion: Version) -> None:
        """Let `previous` follow, where a promotion was interrupted before that."""
        before, previous = self._before(champion), self.at(PREVIOUS)
        if before and not champion.tags.get(BACK) and previous != before:
            self._point(PREVIOUS, before.number)

    def override(self, number: int | None, by: str, why: str) -> Version:
        """Make a version the champion, whatever the gate said; who and why are kept.

        Args:
            number: Of the version; None is the newest.
            by: Who decides it.
            why: The reason.

        Raises:
            ParameterError: There is no such version.
        """
        with self.lock():
            champion, versions = self.at(CHAMPION), self.versions()
            wanted = (
                versions[-1:] if number is None else [v for v in versions if v.number == number]
            )
            if not wanted:
                numbers = [existing.number for existing in versions]
                raise ParameterError(f"{self.name}: expected a version of {numbers}, got {number}")
            version = wanted[0]
            self.note(version, {"override.by": by, "override.why": why, REFUSED: ""})
            if champion is None or version.number != champion.number:
                if champion is not None:  # else the gate would promote it again
                    self.note(champion, {REFUSED: f"by {by}: {why}"})
                self._move(version, champion, by)
            elif left := champion.tags.get(BACK):  # a decision of its own, which can be taken back
                self.note(champion, {FROM: left, BACK: ""})
                self._point(PREVIOUS, int(left))
            else:
                self._follow(champion)
        return version

    def roll_back(self, by: str, why: str) -> Version | None:
        """Make the version before the champion champion again; idempotent.

        The version that is left is marked, so that the gate does not promote it again.

        Returns:
            The champion that was left; None where the last step was to go back to this one.

        Raises:
            ParameterError: There is nothing to go back to.
        """
        with self.lock():
            champion = self.at(CHAMPION)
            if champion and champion.tags.get(BACK):
                self._point(PREVIOUS, champion.number)
                return None
            before = self._before(champion) if champion else None
            if champion is None or before is None:
                raise ParameterError(
                    f"{self.name}: expected a champion and a previous one, got "
                    f"{'none' if champion is None else 'a champion alone'}; nothing to go back to"
                )
            self.note(champion, {REFUSED: f"by {by}: {why}"})
            self.note(before, {BACK: str(champion.number)})
            self._point(CHAMPION, before.number)
            self._point(PREVIOUS, before.number)
        return champion

    def download(self, version: Version, folder: Path) -> Path:
        """Download a version's classifier: only weights and JSON, no code is run.

        Args:
            version: Any.
            folder: Of the copies; each version has its own in it.

        Returns:
            The model folder.

        Raises:
            DataError: The version holds no classifier of pixelproof.
            IntegrityError: The weights are not those that were registered, or a tag that
                becomes part of a path is not as it was written.
        """
        which = f"{self.name} version {version.number}"
        check_origin(version, which)
        target = folder / f"{self.name}-{version.number}-{version.weights[:16]}"
        if not target.is_dir():
            with files.atomic(target) as temporary:
                temporary.mkdir()
                download_model(self.tracker, version.model, temporary)
        metadata = sorted(target.rglob("classifier.json"))
        if len(metadata) != 1:
            raise DataError(
                f"{which}: expected one classifier.json in its files, got {len(metadata)}"
            )
        weights = metadata[0].with_name("model.safetensors")
        if not weights.is_file() or files.sha256(weights) != version.weights:
            raise IntegrityError(
                f"{weights}: damaged or exchanged: expected the weights that were registered as "
                f"{which}; delete {target} to bring them again, or {ANOTHER}"
            )
        return metadata[0].parent


def open_registry(gate: Gate) -> Registry:
    """The registry of the store in use.

    Raises:
        ParameterError: Tracking is off.
        ServiceError: The store does not answer.
    """
    if not enabled():
        raise ParameterError(
            "PIXELPROOF_TRACKING: expected it unset, since MLflow holds the champion; got off"
        )
    store = check_store()
    return Registry(Tracker(store), gate.name)
