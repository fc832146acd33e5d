"""Where the parameters are and where the stages put what they make, in the project's folder."""

from pathlib import Path

PARAMS = Path("params.yaml")
IMAGES = Path("artifacts/images")
MODELS = Path("artifacts/models")
CHANGES = Path("artifacts/changes")
ADVERSARIAL = Path("artifacts/adversarial")
LEDGER = Path("artifacts/ledger")
ATTACKS = Path("artifacts/attacks")
NETWORKS = Path("artifacts/networks")  # attacks that were trained
CHECKPOINTS = Path("artifacts/checkpoints")
OTHERS = Path("artifacts/others")  # what other studies made, set aside
METRICS = Path("metrics")
PLOTS = Path("plots")
GATE = Path("artifacts/gate")
