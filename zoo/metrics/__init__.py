"""A task's metric, computed from the outputs of the deployed artifact: one file a metric, and the one list of them."""

import numpy as np

from artifacts.plugins import Registry
from artifacts.types import Array
from zoo.metrics.base import API, Metric

__all__ = ["METRICS", "OF_CLASSES", "OF_VALUES", "Metric", "usual"]

METRICS: Registry[Metric] = Registry(
    "metric",
    "tightship.metrics",
    Metric,
    [
        "zoo.metrics.top_k:TOP1",
        "zoo.metrics.top_k:TOP2",
        "zoo.metrics.top_k:TOP3",
        "zoo.metrics.top_k:TOP5",
        "zoo.metrics.top_k:TOP10",
        "zoo.metrics.classes:F1",
        "zoo.metrics.classes:MIOU",
        "zoo.metrics.classes:MCC",
        "zoo.metrics.auc:AUC",
        "zoo.metrics.perplexity:PERPLEXITY",
        "zoo.metrics.edit_distance:WER",
        "zoo.metrics.edit_distance:CTER",
        "zoo.metrics.squared_error:MSE",
        "zoo.metrics.squared_error:NEGATIVE_MSE",
        "zoo.metrics.absolute_error:MAE",
        "zoo.metrics.regression:RMSE",
        "zoo.metrics.regression:R2",
        "zoo.metrics.f1:F1_MICRO",
        "zoo.metrics.f1:F1_MACRO",
        "zoo.metrics.auc:AUC_LABELS",
        "zoo.metrics.agreement:SPEARMAN",
        "zoo.metrics.agreement:COSINE",
        "zoo.metrics.images:PSNR",
        "zoo.metrics.images:SSIM",
        "zoo.metrics.detection:MAP",
    ],
    API,
)
"""By the name that the data says."""

OF_CLASSES, OF_VALUES = "top1", "negative-mse"
"""What decides where the data names no metric."""


def usual(targets: Array) -> str:
    """The metric of data that names none: by whether its targets are whole numbers."""
    return OF_CLASSES if np.issubdtype(targets.dtype, np.integer) else OF_VALUES
