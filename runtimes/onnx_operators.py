"""Operators of ONNX files from elsewhere that ONNX Runtime may lack, in any of its builds."""

from pathlib import Path

from artifacts.errors import ModelError
from runtimes.options import Options

LIBRARY = "custom_ops"
"""The option that names a library of further operators."""


def refuse_unknown(path: Path, options: Options) -> None:
    """Hold an ONNX file's operators of other domains against those that ONNX Runtime has; other files pass.

    Raises:
        ModelError: it has operators of a domain that ONNX Runtime does not have, and that the file does not define.
    """
    if path.suffix != ".onnx" or LIBRARY in options.non_default():
        return
    import onnx
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    from export.onnx.graph import nodes

    model = onnx.load(path, load_external_data=False)
    known = {(schema.domain, schema.name) for schema in get_all_operator_schema()}
    known |= {(function.domain, function.name) for function in model.functions}
    bodies = [model.graph.node, *(function.node for function in model.functions)]
    used = {(node.domain, node.op_type) for body in bodies for node in nodes(body)}
    # of the standard domain ONNX Runtime itself says best what it lacks, the version included
    missing = sorted(f"{domain}:{name}" for domain, name in used - known if domain not in ("", "ai.onnx"))
    if missing:
        raise ModelError(
            f"{path.name} needs {', '.join(missing)}, which ONNX Runtime does not have; name a library that has them "
            "(`bench --option custom_ops=FILE`), or cut out the part without them (onnx.utils.extract_model) and measure that."
        )
