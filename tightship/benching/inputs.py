"""Inputs for files that may come from anywhere: given ones held against what the file takes, or made-up ones that run."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from artifacts.arrays import load_arrays, save_arrays
from artifacts.errors import DataError, ModelError, RequestError, StageCrashed
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Arrays, Engine
from benchmarks.process.child import Child

GUESSES = ((224, 128), (32, 256), (64, 512), (96, 64), (128, 16), (256, 1024), (320, 2), (1, 1))
"""What is tried in turn for free sizes: the sides of images, and all other lengths."""

SIDE = re.compile(r"height|width|^[hw]$", re.IGNORECASE)
BATCH = re.compile(r"batch|^(bs|n)$", re.IGNORECASE)
CHANNELS = (1, 3, 4)
RATES = ("sr", "sample_rate", "sampling_rate")
SAMPLE_RATE = 16000
TRIAL_SECONDS = 120.0


def lead(signature: Signature) -> TensorSpec | None:
    """The input whose first dimension counts the examples; none if all are scalars or the bytes of a file."""
    files = bytes_of_files(signature)
    whole = [spec for spec in signature.inputs if spec.shape and spec.name not in files]
    named = (spec for spec in whole if isinstance(spec.shape[0], str) and BATCH.search(spec.shape[0]))
    free = (spec for spec in whole if isinstance(spec.shape[0], str))
    return next(named, None) or next(free, None) or next(iter(whole), None)


def bytes_of_files(signature: Signature) -> tuple[str, ...]:
    """The inputs that take the bytes of one file, such as a picture: a row of uint8 that is not said to count examples."""
    rows = (spec for spec in signature.inputs if spec.dtype == "uint8" and len(spec.shape) == 1)
    return tuple(spec.name for spec in rows if isinstance(spec.shape[0], str) and not BATCH.search(spec.shape[0]))


def side_by_side(signature: Signature) -> bool:
    """Whether all inputs have the examples along their first axis, so that more of them can be put together."""
    first = lead(signature)
    return first is not None and all(spec.shape[:1] == first.shape[:1] for spec in signature.inputs)


def kind_of(signature: Signature) -> object:
    """What must be equal for two files to run the same inputs: names, dtypes and fixed sizes."""
    return tuple((s.name, s.dtype, tuple(d if isinstance(d, int) else None for d in s.shape)) for s in signature.inputs)


def _lead_first(signature: Signature) -> list[TensorSpec]:
    first = lead(signature)
    return sorted(signature.inputs, key=lambda spec: spec != first)


def sizes_of(signature: Signature, batch: int, side: int, length: int, alike: bool) -> dict[str, int]:
    """A size for each free dimension.

    Args:
        signature: what the file takes.
        batch: for dimensions that count examples: the first of each input, and what is named so.
        side: for heights and widths of images.
        length: for all others.
        alike: whether nameless dimensions of further inputs are lengths too; else each of them counts examples, as in a
            recurrent state.
    """
    first = lead(signature)
    sizes: dict[str, int] = {}
    for spec in _lead_first(signature):
        images = _image_axes(spec)
        for axis, name in enumerate(spec.shape):
            if not isinstance(name, str) or name in sizes:
                continue
            limits = signature.range_of(name)
            if limits and not (spec == first and axis == 0):
                sizes[name] = limits.opt
                continue
            nameless = name == f"{spec.name}_{axis}"
            counts = BATCH.search(name) if not nameless else axis == 0 or (spec != first and not alike)
            if counts or (spec == first and axis == 0):
                sizes[name] = batch
            elif axis in images or SIDE.search(name):
                sizes[name] = side
            else:
                sizes[name] = CHANNELS[1] if images and axis == 1 else length
    return sizes


def _image_axes(spec: TensorSpec) -> tuple[int, ...]:
    """The axes of height and width, if an input has the form of images."""
    if len(spec.shape) != 4 or spec.dtype.startswith(("int32", "int64", "bool")):
        return ()
    return (1, 2) if spec.shape[3] in CHANNELS and spec.shape[1] not in CHANNELS else (2, 3)


def synthesise(signature: Signature, batch: int = 1, sizes: Mapping[str, int] | None = None) -> Arrays:
    """Made-up inputs of a signature; the one that counts the examples comes first.

    Floats are normal noise and 8-bit numbers spread over their range. Other whole numbers are 0, because a word that
    a vocabulary lacks would be refused; but masks are 1 and a sampling rate is 16000.
    """
    generator = np.random.default_rng(0)
    sizes = sizes or sizes_of(signature, batch, *GUESSES[0], alike=True)
    made = {}
    for spec in _lead_first(signature):
        shape, kind = spec.concrete(sizes), np.dtype(spec.dtype)
        if "mask" in spec.name.lower():
            made[spec.name] = np.ones(shape, kind)
        elif spec.name.lower() in RATES:
            made[spec.name] = np.full(shape, SAMPLE_RATE, kind)
        elif kind in (np.int8, np.uint8):
            low, high = np.iinfo(kind).min, np.iinfo(kind).max
            made[spec.name] = generator.integers(low, high, shape, kind, endpoint=True)
        elif kind.kind in "iub":
            made[spec.name] = np.zeros(shape, kind)
        else:
            made[spec.name] = np.asarray(generator.standard_normal(shape)).astype(kind)
    return made


def runnable(engines: Sequence[Engine], batch: int) -> Arrays:
    """Made-up inputs that all engines run; where sizes are free, the first of the guesses that does.

    Raises:
        RequestError: none of them ran; the message names the free sizes, what was tried and what was said.
    """
    signature, name = engines[0].signature, engines[0].path.name
    if not signature.inputs:
        raise RequestError(f"{name} takes no inputs, so there is nothing that could be fed to it and timed.")
    guesses = list(_guesses(signature, batch))
    if len(guesses) == 1:
        return synthesise(signature, batch, guesses[0])  # no size is free: if this does not run, the runtime says why
    said: list[str] = []
    for sizes in guesses:
        feeds = synthesise(signature, batch, sizes)
        refusal = _refusal(engines, feeds)
        if refusal is None:
            return feeds
        said.append(str(refusal))
        if isinstance(refusal, ModelError) and said[-3:] == [said[-1]] * 3:
            raise refusal  # whatever is wrong, it is not the sizes
    tried = "; ".join(", ".join(f"{k}={v}" for k, v in sizes.items()) for sizes in guesses[:3])
    more = f" and {len(guesses) - 3} more" if len(guesses) > 3 else ""
    raise RequestError(
        f"{name} did not run on made-up inputs (tried {tried}{more}: {_brief(said[-1])}); give --inputs FILE.npz."
    )


def _brief(said: str) -> str:
    return said[:200].rstrip(" .") + (" ..." if len(said) > 200 else "")


def _guesses(signature: Signature, batch: int) -> Iterator[dict[str, int]]:
    seen: list[dict[str, int]] = []
    for side, length in GUESSES:
        for alike in (True, False):
            sizes = sizes_of(signature, batch, side, length, alike)
            if sizes not in seen:
                seen.append(sizes)
                yield sizes


def _refusal(engines: Sequence[Engine], feeds: Arrays) -> Exception | None:
    """What the first engine that does not run these inputs says; none if all do."""
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "trial.npz"
        save_arrays(first, feeds)
        for engine in engines:
            try:
                with Child(engine, Path(folder) / "trial.log", timeout=TRIAL_SECONDS) as child:
                    child.open(first)
            except (StageCrashed, ModelError) as error:
                return error
    return None


def given(engines: Sequence[Engine], inputs: Path, batch: int) -> Arrays:
    """The arrays of a file, held against what each engine takes; the one that counts the examples comes first.

    Raises:
        DataError: they do not fit; the message names the first that does not.
    """
    arrays = load_arrays(inputs)
    for engine in engines:
        _check(engine, arrays, inputs)
        _check_count(engine, arrays, inputs, batch)
    return {spec.name: arrays[spec.name] for spec in _lead_first(engines[0].signature)}


def _check(engine: Engine, arrays: Arrays, inputs: Path) -> None:
    specs, name = engine.signature.inputs, engine.path.name
    if {spec.name for spec in specs} != set(arrays):
        raise DataError(
            f"{name} takes {', '.join(map(words, specs))}, but {inputs.name} holds {', '.join(arrays) or 'nothing'}."
        )
    first = lead(engine.signature)
    count = len(np.atleast_1d(arrays[first.name])) if first else 0
    for spec in specs:
        array = arrays[spec.name]
        if str(array.dtype) != spec.dtype:
            raise DataError(f"{inputs.name} has {spec.name!r} as {array.dtype}, but {name} takes {spec.dtype}; convert it.")
        if not spec.shape and array.size == 1:
            continue
        # there may be more examples than a call takes
        start = 1 if first and spec.shape[:1] == first.shape[:1] and array.shape[:1] == (count,) else 0
        sizes = zip(spec.shape[start:], array.shape[start:], strict=False)
        if array.ndim != len(spec.shape) or any(isinstance(size, int) and size != has for size, has in sizes):
            shape = "x".join(map(str, array.shape)) or "scalar"
            raise DataError(f"{inputs.name} has {spec.name!r} of shape {shape}, but {name} takes {words(spec)}.")
        # how many examples a call takes is held against its range with the batch
        engine.signature.refuse_outside({spec.name: (*(engine.signature.most(1),) * start, *array.shape[start:])}, inputs.name)


def _check_count(engine: Engine, arrays: Arrays, inputs: Path, batch: int) -> None:
    """Examples are picked along the first axis, which takes too few from an input that has them along another."""
    first = lead(engine.signature)
    beside = [s for s in engine.signature.inputs if first and first.shape[0] in s.shape[1:] and isinstance(first.shape[0], str)]
    if first and beside and len(arrays[first.name]) != batch:
        raise DataError(
            f"{inputs.name} holds {len(arrays[first.name])} examples, but beside {words(beside[0])} a call takes all of them: "
            f"give --batch {len(arrays[first.name])}, or {batch} of them."
        )


def words(spec: TensorSpec) -> str:
    """An input in words, such as `state float32 2xbatchx128`.

    >>> words(TensorSpec("sr", "int64", ()))
    'sr int64 scalar'
    """
    return f"{spec.name} {spec.dtype} {'x'.join(map(str, spec.shape)) or 'scalar'}"


def made_up(feeds: Arrays) -> str:
    """Made-up inputs in words, so that their sizes are stated beside what was measured on them."""
    return "made up: " + ", ".join(words(TensorSpec(name, str(value.dtype), value.shape)) for name, value in feeds.items())
