"""Models that sites train: logistic regression in NumPy, networks in PyTorch."""

from veil.fl.tasks.logistic import LogisticRegression
from veil.fl.tasks.networks import MLP, ImageCNN, TorchTask

__all__ = ["MLP", "ImageCNN", "LogisticRegression", "TorchTask"]
