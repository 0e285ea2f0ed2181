"""COCO's mean average precision of boxes, by its own evaluation (pycocotools; Lin et al. 2014)."""

from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from typing import cast

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError, TargetUnavailable
from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric
from zoo.pairing import IGNORED, shown

MOST = 100
"""Boxes of an image that count, those with the largest scores: COCO's limit."""

Values = NDArray[np.float64]


def mean_average_precision(outputs: Arrays, targets: Array) -> float:
    """The mean over classes and over IoU thresholds .5 to .95 in steps of .05 of the precision at 101 recalls, 0..1.

    A box answers with its class of the largest score, and the score orders the answers: probabilities or logits of one and the
    same scale. Nothing is suppressed here: a network that gives one object several boxes is scored with all of them.

    Args:
        outputs: `boxes` (N, Q, 4) as x1, y1, x2, y2, and `scores` (N, Q, classes) without a class for the background.
        targets: a structured array (N,): `boxes` (N, M, 4) in the same unit and `labels` (N, M), -100 where there is no box.

    Raises:
        DataError: one of them is missing, of another shape or impossible, or there is no box in any image.
        TargetUnavailable: pycocotools is missing.
    """
    boxes, scores = _outputs(outputs)
    wanted, labels = _targets(targets, len(boxes), scores.shape[-1])
    truth = _truth(wanted, labels)
    found = _found(boxes, scores)
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise TargetUnavailable("metric 'map' needs pycocotools; pip install 'tightship[detection]'.") from None
    with redirect_stdout(StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": image} for image in range(len(boxes))],
            "categories": [{"id": number} for number in range(scores.shape[-1])],
            "annotations": truth,
        }
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(found), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
        evaluation.params.maxDets = [MOST]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"], np.float64)
    # classes without a box have -1
    return float(precision[precision > -1].mean())


def _outputs(outputs: Arrays) -> tuple[Values, Values]:
    """Boxes (N, Q, 4) and scores (N, Q, classes)."""
    boxes, scores = _named(outputs, "output", list(outputs), ("boxes", "scores"))
    fits = boxes.ndim == scores.ndim == 3 and boxes.shape[-1] == 4 and scores.shape[:2] == boxes.shape[:2]
    if not fits or not scores.size:
        raise DataError(
            "metric 'map' needs outputs `boxes` (N, Q, 4) and `scores` (N, Q, classes), and these are "
            f"{shown(boxes.shape)} and {shown(scores.shape)}."
        )
    for name, values in (("boxes", boxes), ("scores", scores)):
        if not np.isfinite(values).all():
            raise DataError(f"output {name!r} holds values that are NaN or infinite; the accuracy is undefined.")
    return np.asarray(boxes, np.float64), np.asarray(scores, np.float64)


def _targets(targets: Array, examples: int, classes: int) -> tuple[Values, NDArray[np.int64]]:
    """Boxes (N, M, 4) and class numbers (N, M)."""
    fields, names = cast("NDArray[np.void]", targets), list(targets.dtype.names or ())
    boxes, labels = _named({name: fields[name] for name in names}, "target", names, ("boxes", "labels"))
    fits = boxes.ndim == 3 and boxes.shape[-1] == 4 and labels.shape == boxes.shape[:2] and len(boxes) == examples
    if not fits or labels.dtype.kind not in "iu":
        raise DataError(
            f"metric 'map' needs targets `boxes` (N, M, 4) and class numbers `labels` (N, M) for {examples:,} examples, and "
            f"these are {shown(boxes.shape)} and {labels.dtype} {shown(labels.shape)} for {len(boxes):,}."
        )
    numbers = labels.astype(np.int64)
    there = numbers[numbers != IGNORED]
    if not there.size:
        raise DataError(f"metric 'map' needs a box in some image, and every label is {IGNORED}.")
    if there.min() < 0 or there.max() >= classes:
        wrong = there.min() if there.min() < 0 else there.max()
        raise DataError(f"the targets hold class {wrong}, and the network tells {classes} classes apart.")
    return np.asarray(boxes, np.float64), numbers


def _named(given: Mapping[str, Array], what: str, names: list[str], wanted: tuple[str, str]) -> list[Array]:
    missing = [name for name in wanted if name not in given]
    if missing:
        has = ", ".join(names) or "without names"
        raise DataError(f"metric 'map' needs the {what} `{missing[0]}`, and the {what}s are {has}.")
    return [given[name] for name in wanted]


def _truth(boxes: Values, labels: NDArray[np.int64]) -> list[dict[str, object]]:
    """COCO's annotations, counted from 1: it takes 0 for no match."""
    images, places = np.nonzero(labels != IGNORED)
    made = boxes[images, places]
    sizes = made[:, 2:] - made[:, :2]
    wrong = np.flatnonzero(~(np.isfinite(made) & np.tile(sizes > 0, 2)).all(axis=1))
    if wrong.size:
        box, image = made[wrong[0]].tolist(), images[wrong[0]]
        raise DataError(f"the box {box} of example {image} has no area: boxes are x1, y1, x2, y2 with x1 < x2 and y1 < y2.")
    return [
        {
            "id": count + 1, "image_id": int(image), "category_id": int(labels[image, place]), "iscrowd": 0,
            "bbox": [*box[:2].tolist(), *size.tolist()], "area": float(size[0] * size[1]),
        }
        for count, (image, place, box, size) in enumerate(zip(images, places, made, sizes, strict=True))
    ]  # fmt: skip


def _found(boxes: Values, scores: Values) -> Values:
    """Rows of image, x, y, width, height, score and class: the `MOST` best boxes of each image."""
    best, classes = scores.max(axis=-1), scores.argmax(axis=-1)
    order = np.argsort(-best, axis=1, kind="stable")[:, :MOST]
    images = np.arange(len(boxes))[:, None]
    some = boxes[images, order]
    sizes = np.maximum(some[..., 2:] - some[..., :2], 0.0)
    rows = [np.broadcast_to(images, order.shape)[..., None], some[..., :2], sizes]
    rows += [best[images, order][..., None], classes[images, order][..., None]]
    return np.concatenate(rows, axis=-1).reshape(-1, 7)


MAP = Metric("map", mean_average_precision, "larger", SHARE, "any", outputs=2)
