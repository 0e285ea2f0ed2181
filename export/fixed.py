"""Signatures of files that take one size of each input only."""

from dataclasses import replace

from artifacts.specs import Signature, TensorSpec


def fixed(signature: Signature) -> Signature:
    """The same signature with every dynamic dimension at 1; those beside the batch that have a range at its `opt`."""
    sizes = signature.sizes(1)

    def pin(spec: TensorSpec) -> TensorSpec:
        return replace(spec, shape=tuple(sizes.get(d, 1) if isinstance(d, str) else d for d in spec.shape))

    return Signature(tuple(map(pin, signature.inputs)), tuple(map(pin, signature.outputs)))
