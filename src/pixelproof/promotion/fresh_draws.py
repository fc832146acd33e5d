"""A trial: models, measured on the same held-out images under the same fresh draws."""

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pixelproof.data.drawn_changes import Wanted, draws_name, write_change_set
from pixelproof.data.image_set import ImageSet, load_images
from pixelproof.errors import ParameterError
from pixelproof.evaluation.experiments import all_passes, asked, measure
from pixelproof.evaluation.ledger import LedgerWriter, read_ledger
from pixelproof.evaluation.measurement import Examples, Measurement
from pixelproof.models.devices import DeviceImages, describe_computation, find_device, room_for
from pixelproof.models.loading import load_classifier
from pixelproof.params.gate import Gate
from pixelproof.params.project import Params
from pixelproof.params.validation import choose, require
from pixelproof.paths import GATE, IMAGES
from pixelproof.promotion.gate import figures
from pixelproof.promotion.probes import LENT, probing
from pixelproof.reporting.experiments import described
from pixelproof.reporting.rows import common_images
from pixelproof.system import files
from pixelproof.system.progress import progress

LENT_BY = "whitebox_iterated"  # the attack whose examples are lent


def gate_of(params: Params) -> Gate:
    """The section `gate`.

    Raises:
        ParameterError: There is none, or no arm to promote, or the held-out images are spared.
    """
    if params.gate is None:
        raise ParameterError("params.yaml: gate: missing; it names the arm that may be promoted")
    choose("gate.challenger", params.gate.challenger, params.finetune.arms)
    spared = params.select.validation
    require(spared is None, "select.validation", "null, since held-out images decide", spared)
    return params.gate


def weights_of(folder: Path) -> str:
    """The SHA-256 of a model folder's weights."""
    return str(files.read_json(folder / "classifier.json")["sha256"])


def reference(params: Params) -> str:
    """The reference point in words: Pi is compared at the same one only."""
    point, grid = params.compare.reference, params.reference_grid
    side = params.select.side
    return f"{point.n} pixels, {grid.values}, in {grid.area or side} of {side} px"


class Trial:
    """Models, measured on the same held-out images under the same fresh draws."""

    def __init__(self, params: Params, seed: int) -> None:
        """Draw.

        Args:
            params: Of the project; of the experiments, those that the gate is about are taken.
            seed: Of the draws.
        """
        gate, point, grid = gate_of(params), params.compare.reference, params.reference_grid
        evaluate = params.evaluate
        asked = getattr(evaluate, point.experiment)
        changed: dict[str, Any] = {
            "draws": gate.draws,
            "protocols": ("held_out",),
            "attacks": None,  # no rule asks for them, but for those of `probes`
            **dict.fromkeys(grid.experiment for grid in params.grids),
            point.experiment: dataclasses.replace(asked, n=(point.n,)),
        }
        narrowed = dataclasses.replace(evaluate, **changed)
        self.params = dataclasses.replace(params, evaluate=narrowed)
        self.seed = seed
        self._lent: dict[str, list[Examples]] = {}
        self.images: ImageSet = load_images(IMAGES, "held_out", params.select)
        wanted = Wanted(grid.values, grid.area, point.n, gate.draws)
        name = draws_name(grid.values, grid.area)
        write_change_set(GATE / "changes", {name: wanted}, self.images, params.generate, seed)

    def measure(self, folder: Path, label: str, probed: bool = False) -> pd.DataFrame:
        """The ledger of a model folder; also kept under `artifacts/gate/`.

        Args:
            folder: Of the model.
            label: What it is called here.
            probed: Ask, too, whether it hides its gradient; else only what models are compared by.

        Raises:
            ParameterError: The model takes images of another size than those that are stored.
            DataError: It does not know every class.
        """
        with room_for("evaluate.batch_size", self.params.evaluate.batch_size):
            measurement = self._prepare(folder, label, probed)
            names = [name for name in asked(measurement) if probed or self._compares(name)]
            with progress(all_passes(measurement, names), f"gate {label}") as update:
                measure(measurement, names, update)
            if probed:
                again = measurement.predict(measurement.pixels, measurement.targets)
                every = np.arange(len(measurement.targets))
                measurement.add("repeated", every, again, n=0, draw=0)
        self._lent[label] = measurement.kept.get(LENT_BY, [])
        path = GATE / "ledger" / f"{label}.parquet"
        measurement.ledger.write(path, describe_computation(measurement.device))
        return read_ledger(path)

    def _compares(self, name: str) -> bool:
        """Whether an experiment is one that models are compared in."""
        compared = ("clean", self.params.compare.reference.experiment)
        return name in compared or described(name).gated

    def _prepare(self, folder: Path, label: str, probed: bool = False) -> Measurement:
        params, evaluate = self.params, self.params.evaluate
        device = find_device(params.compute.device)
        classifier = load_classifier(folder).to(device)
        if classifier.side not in (None, params.select.side):
            raise ParameterError(
                f"select.side: expected the {label}'s {classifier.side}, got {params.select.side}: "
                "the gate compares models on the same draws; promote by hand with "
                "`pixelproof promote --why …`"
            )
        return Measurement(
            probing(evaluate) if probed else evaluate,
            label,
            classifier,
            device,
            LedgerWriter(classifier.names(self.images.classes)),
            self.images,
            "held_out",
            GATE / "changes",
            params.grids,
            keep={} if probed else {LENT_BY: LENT},
        )

    def borrow(self, folder: Path, label: str, lenders: Collection[str]) -> pd.DataFrame:
        """The ledger of a model on adversarial examples of others, which were measured before.

        Args:
            folder: Of the model.
            label: What it is called here.
            lenders: The labels of the others.

        Returns:
            The rows of an experiment `transfer_LENDER` for each.
        """
        with room_for("evaluate.batch_size", self.params.evaluate.batch_size):
            measurement = self._prepare(folder, label, probed=True)
            for lender in lenders:
                for lent in self._lent[lender]:
                    examples = DeviceImages(lent.pixels, measurement.device)
                    judged = measurement.predict(examples, measurement.targets[lent.rows])
                    name = f"transfer_{lender}"
                    measurement.add(name, lent.rows, judged, draw=0, **lent.setting)
        return measurement.ledger.table()

    def alone(self, ledger: pd.DataFrame) -> dict[str, Any]:
        """The figures of one model, on the images that it classifies correctly unchanged."""
        return figures(ledger, common_images({"model": ledger}), self.params)
