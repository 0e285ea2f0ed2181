"""A user's own operators in ONNX files: the functions that translate them, found by name and checked before they are used.

They go to `torch.onnx.export(custom_translation_table=...)`: https://docs.pytorch.org/docs/stable/onnx_export.html
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from artifacts.errors import ModelError, RequestError
from export.onnx.graph import nodes
from zoo.factories import resolve

if TYPE_CHECKING:
    import onnx

WHERE = "export.onnx.operators"
"""Where a recipe names them."""
DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Whose operators the runtimes bring with them."""


def translations(operators: Mapping[str, str]) -> dict[Any, Callable[..., Any]]:
    """What torch.onnx.export is told: PyTorch's operator -> the function that writes it in ONNX.

    Args:
        operators: `namespace::name` (or `namespace::name.overload`) -> `module:callable`. The callable takes what the
            operator takes, in its order, and returns what it returns, built with onnxscript's operators.

    Raises:
        ModelError: there is no such operator or function, or the function does not take what the operator takes.
    """
    table = {}
    for name, spec in operators.items():
        try:
            found = resolve(spec)
        except RequestError as error:
            raise ModelError(f"{WHERE} {name!r}: {error}") from error
        # a scripted function writes a function of its own domain; what it was written as writes plain operators
        function = getattr(found, "function", found)
        operator = _operator(name)
        _check_parameters(name, operator, spec, function)
        table[operator] = _telling(name, spec, function)
    return table


def _operator(name: str) -> Any:
    """PyTorch's operator of this name, which whoever imports the model has registered."""
    import torch

    space, _, rest = name.partition("::")
    base, _, overload = rest.partition(".")
    try:
        return getattr(getattr(getattr(torch.ops, space), base), overload or "default")
    except AttributeError:
        registered = [n for n in torch._C._dispatch_get_all_op_names() if n.startswith(f"{space}::")]
        close = get_close_matches(name, registered, n=1)
        hint = f"did you mean {close[0]!r}" if close else "register it where that module is imported"
        raise ModelError(
            f"{WHERE} names {name!r}, which PyTorch does not know once the model's module is imported; {hint}."
        ) from None


def _check_parameters(name: str, operator: Any, spec: str, function: Callable[..., Any]) -> None:
    arguments = operator._schema.arguments
    given = [a.name for a in arguments if not a.kwarg_only]
    named = {a.name: a.name for a in arguments if a.kwarg_only}
    try:
        inspect.signature(function).bind(*given, **named)
    except TypeError as error:
        raise ModelError(
            f"{WHERE} {name!r}: {spec} takes {inspect.signature(function)}, which does not fit {operator._schema} ({error}); "
            "give it the operator's parameters, in their order."
        ) from None


def _telling(name: str, spec: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with what goes wrong in it told in one sentence."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            made = function(*arguments, **options)
        except Exception as error:
            cause = _root(error)
            first = (str(cause).strip().splitlines() or [""])[0].rstrip(".!")
            raise ModelError(
                f"{WHERE} {name!r}: {spec} failed: {type(cause).__name__}: {first}; "
                "write it with standard operators (onnxscript.opset18), which every runtime has."
            ) from error
        if made is None:
            raise ModelError(f"{WHERE} {name!r}: {spec} returned nothing; return the translated result.")
        return made

    return call


def _root(error: BaseException) -> BaseException:
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error


def refuse_other_domains(proto: "onnx.ModelProto") -> None:
    """Refuse operators that would need a library of their own beside the runtime.

    Raises:
        ModelError: names the first, with its domain.
    """
    defined = {(f.domain, f.name) for f in proto.functions}
    for node in nodes(proto.graph.node):
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in defined:
            raise ModelError(
                f"the ONNX file would need operator {node.domain}::{node.op_type}, which no runtime brings with it; "
                f"translate it into standard operators (onnxscript.opset18) under {WHERE} in the recipe."
            )
