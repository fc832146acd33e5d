"""The models that meet at the gate: each measured once, on the same images and draws."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pixelproof.data.image_set import hex_id
from pixelproof.models.metadata import seen_images, seen_is_known
from pixelproof.params.project import Params
from pixelproof.paths import GATE, MODELS
from pixelproof.promotion.fresh_draws import Trial, gate_of, reference, weights_of
from pixelproof.promotion.gate import Verdict, decide
from pixelproof.promotion.level import Look, level_at, power_at
from pixelproof.promotion.looks import Looks
from pixelproof.promotion.registration import HELD_OUT
from pixelproof.promotion.registry import Registry
from pixelproof.promotion.version import Version, began_with
from pixelproof.reporting.rows import without
from pixelproof.system import files

LENDERS = ("champion", "control")  # whose adversarial examples the challenger is shown


@dataclass
class Contestants:
    """A challenger, its control, the champion it meets, and the one that the row began with."""

    params: Params
    registry: Registry
    folders: dict[str, Path]
    trial: Trial
    ledgers: dict[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    champion: Version | None = None

    def ledger(self, label: str) -> pd.DataFrame:
        """The ledger of one of them, measured once."""
        if label not in self.ledgers:
            probed = label == "challenger"
            self.ledgers[label] = self.trial.measure(self.folders[label], label, probed)
        return self.ledgers[label]

    def meet(self, champion: Version | None) -> None:
        """Bring the champion that is to be met; another than before is measured anew.

        Args:
            champion: The version; None where there is none yet, so that the challenger's original
                takes its place.
        """
        self.champion = champion
        if champion is None:
            name = self.params.origin(gate_of(self.params).challenger)
            self._place("champion", MODELS / name)
            return
        self._place("champion", self.registry.download(champion, GATE / "champions"))
        first = began_with(champion, self.registry.versions())
        if first.number != champion.number:
            self._place("first", self.registry.download(first, GATE / "champions"))
        else:
            self.folders.pop("first", None)

    def _place(self, label: str, folder: Path) -> None:
        known = self.folders.get(label)
        if known is None or weights_of(known) != weights_of(folder):
            self.ledgers.pop(label, None)
        self.folders[label] = folder

    def alone(self, label: str) -> dict[str, Any]:
        """The figures of one of the models, on images that it has not seen."""
        seen = {hex_id(image) for image in seen_images(self.folders[label])}
        return self.trial.alone(without(self.ledger(label), seen))

    def look(self) -> Look:
        """The look that judging takes, with the power that is left."""
        number = self._looks().number(self._look_key())
        return Look(number, self._power(level_at(number)))

    def _looks(self) -> Looks:
        return Looks(self.registry, self._held_out())

    def _held_out(self) -> list[str]:
        return [hex_id(int(image)) for image in self.trial.images.ids]

    def _look_key(self) -> str:
        """The same for each try of a challenger against a champion: the draws are the same."""
        met = [self.trial.seed, weights_of(self.folders["champion"])]
        return files.content_hash(met)[:16]

    def _power(self, level: float) -> float | None:
        """The power by the champion's figures when it was registered; None without any."""
        tags = self.champion.tags if self.champion else {}
        if tags.get("pi.reference") != reference(self.params):
            return None
        pi = {"value": tags["pi"], "low": tags["pi_low"], "high": tags["pi_high"]}
        now = len(self.trial.images.ids)
        images = now / int(tags.get(HELD_OUT, now))
        of = self.trial.images.groups
        parts = None if of is None else len(set(of))
        return power_at(level, {key: float(value) for key, value in pi.items()}, images, parts)

    def judge(self) -> Verdict:
        """Let the gate decide, without the images that any of the models has seen.

        A look is kept before anyone is told what was seen; where nothing was decided there was
        none. No other process can take a look meanwhile, so that no two have the same number.
        """
        seen = {hex_id(image) for each in self.folders.values() for image in seen_images(each)}
        measured = {label: self.ledger(label) for label in self.folders}
        lent = self.trial.borrow(self.folders["challenger"], "challenger", LENDERS)
        measured["challenger"] = pd.concat([measured["challenger"], lent], ignore_index=True)
        met = {label: without(ledger, seen) for label, ledger in measured.items()}
        unknown = [label for label, folder in self.folders.items() if not seen_is_known(folder)]
        three = (met["challenger"], met["champion"], met["control"])
        with self.registry.lock():
            look = self.look()
            verdict = decide(*three, self.trial.params, unknown, look, met.get("first"))
            if verdict.outcome != "NOT ENOUGH EVIDENCE":
                self._looks().take(self._look_key())
        return verdict
