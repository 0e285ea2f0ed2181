"""Quantization: a network of one's own as the integer or half-precision file that a target runs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artifacts.errors import RequestError
from tightship.api.networks.options import config_of, given_options, kept_zeros, unlabeled, working
from tightship.api.progress import throttled

if TYPE_CHECKING:
    from torch import nn

    from artifacts.types import Split
    from tightship.api.networks.artifacts import Artifact
    from tightship.api.networks.data import Data
    from tightship.api.networks.models import ExampleInputs
    from tightship.api.progress import OnProgress


def quantize(
    model: "nn.Module",
    example_inputs: "ExampleInputs",
    *,
    data: "Data" = None,
    target: str = "onnxruntime-cpu",
    scheme: str = "int8",
    qat_epochs: int | None = None,
    seed: int = 0,
    target_options: Mapping[str, object] | None = None,
    on_progress: "OnProgress | None" = None,
    **options: object,
) -> "Artifact":
    """Write a network as the quantized file that a target runs at full speed.

    Args:
        model: a network, which is left as it is.
        example_inputs: a tensor, a tuple of tensors in the order of forward's parameters, or a dict by their names; examples
            along the first axis.
        data: what calibration sees: inputs, or (inputs, targets), a DataLoader, a map-style data set, or TaskData. `int8` needs
            them; quantization-aware training needs targets too.
        target: a target's name; `targets()` lists them.
        scheme: `int8`, `int8-dynamic`, `int8-weights`, `int4-weights`, `fp16`, `bf16`; each target runs some of them.
        qat_epochs: epochs of quantization-aware training (`int8` only), with the float network as teacher; 0 by default.
        seed: of all draws.
        target_options: how the target opens the file, as a recipe's `targets: [{options: ...}]`.
        on_progress: called with an `Update` as it goes on.
        options: the other keys of a recipe's `quantize`: `calibration_samples`, `calibrator`, `per_channel`, `keep_float`,
            `weight_bits`, `block_size` ...

    Returns:
        The artifact; `.check()` holds it against the network, `.measure()` times it.

    Raises:
        RequestError: the target does not run the scheme, an option is unknown, or data are missing.
        ModelError: the network has no form in the target's format, or nothing in it can be quantized.
        DataError: the data do not fit the network.

    >>> import tightship as ts, torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> artifact = ts.quantize(net, torch.zeros(1, 16), data=torch.randn(64, 16))
    >>> artifact.precision, artifact.check().passed
    ('int8', True)
    """
    from compress.configs import QuantizeConfig

    config = config_of(QuantizeConfig, given_options(scheme=scheme, qat_epochs=qat_epochs) | options, "quantize", seed)
    if config.max_drop is not None:
        raise RequestError("max_drop is for recipes, whose accuracy guard tries files on the target; leave it out.")
    told = throttled(on_progress, "quantize")
    with working("quantize"):
        from compress.qat import train_quantized
        from compress.quantizers import Calibration
        from tightship.api.networks.data import split_of
        from tightship.api.networks.models import given_model
        from tightship.api.networks.writing import Writing

        writing = Writing.of(target, target_options)
        quantizer = writing.quantizer(config.scheme)
        if data is None and (config.scheme == "int8" or config.qat_epochs):
            raise RequestError(f"scheme {config.scheme} is calibrated on data: give some, as in data=images.")
        if config.qat_epochs and not writing.target.qat:
            raise RequestError(f"int8 files for {target} cannot carry learned ranges; leave qat_epochs out.")
        given = given_model(model, example_inputs)
        source = kept_zeros(given.model)
        labeled = bool(config.qat_epochs)
        split = unlabeled(given) if data is None else split_of(data, model, source.signature, labeled=labeled)
        if config.qat_epochs:
            source = train_quantized(source, config, split, seed=seed, progress=told)
        examples = given.examples if data is None else split.batch(_some(split, 256))[0]
        return writing.write(source, examples, quantizer, Calibration(split, config, seed, source))


def _some(split: "Split", count: int) -> Any:
    import numpy as np

    return np.arange(min(count, len(split)))
