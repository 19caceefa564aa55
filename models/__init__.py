"""The networks, by the names that `--model` takes."""

from models.baseline import Baseline, PaperBaseline
from models.capsnet import CapsNet
from models.classifier import Classifier
from models.hparams import HParams

MODELS: dict[str, type[Classifier]] = {"capsule": CapsNet, "baseline": Baseline, "baseline_paper": PaperBaseline}

__all__ = ["MODELS", "Baseline", "CapsNet", "Classifier", "HParams", "PaperBaseline"]
