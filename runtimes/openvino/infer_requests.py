"""Several requests of one OpenVINO program that run beside each other, each on its share of the examples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.specs import Signature


class Requests:
    """As many requests as the program can run at once; a call divides its examples among them."""

    def __init__(self, compiled: Any) -> None:
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [compiled.create_infer_request() for _ in range(count)]
        self._outputs = range(len(compiled.outputs))

    def __len__(self) -> int:
        return len(self._requests)

    def __call__(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run once; the results, in the order of the examples, are the caller's own memory."""
        count = min(len(self._requests), len(arrays[0]))
        started = self._requests[:count]
        for request, *parts in zip(started, *(np.array_split(a, count) for a in arrays), strict=True):
            for i, part in enumerate(parts):
                tensor = request.get_input_tensor(i)
                tensor.shape = part.shape
                np.copyto(tensor.data, part)
            request.start_async()
        for request in started:
            request.wait()
        return [np.concatenate([r.get_output_tensor(i).data for r in started]) for i in self._outputs]


def divisible(signature: Signature, stateful: bool) -> bool:
    """Whether the examples of a call may be divided: they lie along the first axis, free and the same, of all tensors."""
    first = {spec.shape[0] if spec.shape else None for spec in (*signature.inputs, *signature.outputs)}
    along = all(spec.batch_axis == 0 for spec in signature.outputs)
    return not stateful and along and len(first) == 1 and isinstance(first.pop(), str)
