"""A task's metrics, computed from the outputs of the deployed artifact: one file a metric, and the one list of them."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from artifacts.plugins import Registry
from artifacts.types import Array
from zoo.factories import resolve
from zoo.metrics.base import API, Metric
from zoo.named_targets import base, fields

__all__ = ["METRICS", "OF_CLASSES", "OF_VALUES", "Metric", "Names", "find", "metric_name", "named", "usual"]

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
        "zoo.metrics.against_reference:AGREEMENT",
        "zoo.metrics.against_reference:RELATIVE_ERROR",
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


OF_ONES_OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""How a metric of the user's own is named: `module:name`."""


def find(name: str) -> Metric:
    """The metric of this name: one of the list or `module:name` of one's own; `NAME@OUTPUT` is that of one output.

    One's own is a `Metric`, or a function (outputs by name, targets) -> number of which larger values are better.

    Raises:
        RequestError: there is none.
    """
    own, _, output = name.partition("@")
    made = _own(own) if OF_ONES_OWN.fullmatch(own) else METRICS.find(own)
    return replace(made, name=name, of=output or made.of)


Names = str | Sequence[str] | None
"""A metric, or several of which the first decides; none: the targets decide."""


def named(names: Names) -> list[Metric]:
    """The metrics of these names.

    Raises:
        RequestError: one of them does not exist.
    """
    return [find(name) for name in ((names,) if isinstance(names, str) else names or ())]


def metric_name(name: str) -> str:
    """The name, if a metric may be called so; one's own is not imported.

    Raises:
        RequestError: there is no such metric.
    """
    return name if OF_ONES_OWN.fullmatch(name.partition("@")[0]) else find(name).name


def _own(spec: str) -> Metric:
    found = resolve(spec, "metric", Metric)
    return found if isinstance(found, Metric) else Metric(spec, found, targets="any")  # type: ignore[arg-type]


def usual(targets: Array) -> str:
    """The metric of data that names none: by whether its targets are whole numbers; of targets by name that of the first."""
    if targets.dtype.names:
        name, target = next((name, one) for name, one in fields(targets).items() if base(name) == name)
        return f"{usual(target)}@{name}"
    return OF_CLASSES if np.issubdtype(targets.dtype, np.integer) else OF_VALUES
