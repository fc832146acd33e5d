"""Where the stages put what they make, relative to the folder of `dvc.yaml`."""

from pathlib import Path

IMAGES = Path("artifacts/images")
MODELS = Path("artifacts/models")
CHANGES = Path("artifacts/changes")
ADVERSARIAL = Path("artifacts/adversarial")
LEDGER = Path("artifacts/ledger")
CHECKPOINTS = Path("artifacts/checkpoints")
OTHERS = Path("artifacts/others")  # models and ledgers of other studies, set aside
METRICS = Path("metrics")
PLOTS = Path("plots")
GATE = Path("artifacts/gate")
