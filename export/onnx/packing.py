"""ONNX files whose palette weights are stored as packed indices, decoded by standard operators.

All that the decoding reads is constant, so ONNX Runtime computes each weight once, when it opens the file, and then
runs what it runs for the plain file. The decoded weights are those of the plain file bit for bit: folding multiplied each
output channel's palette by the norm's scale, and that scale is stored beside the indices and multiplied in again.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from artifacts.errors import ModelError
from artifacts.types import ExportedFile, Palette, TorchModel
from export.onnx.export import SINGLE_FILE_LIMIT
from export.onnx.export import export as export_plain
from export.onnx.indices import Floats, Writer, encode


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.onnx` as `export.onnx.export` does, with the weights named in `model.palettes` packed.

    Raises:
        ModelError: see `export.onnx.export.export`.
    """
    file = export_plain(model, folder)
    proto = onnx.load(file.path)
    notes = pack(proto, model)
    for sidecar in set(folder.iterdir()) - {file.path}:
        sidecar.unlink()
    onnx.save(proto, file.path, save_as_external_data=proto.ByteSize() > SINGLE_FILE_LIMIT, location=f"{file.main}.data")
    try:
        onnx.checker.check_model(str(file.path), full_check=True)
    except Exception as error:
        raise ModelError(f"the packed ONNX file is not valid: {str(error).splitlines()[0]}.") from error
    return ExportedFile(file.format, folder, file.main, file.signature, notes=(*file.notes, *notes))


def pack(proto: onnx.ModelProto, model: TorchModel) -> tuple[str, ...]:
    """Replace the weights of `model.palettes` in a file by packed ones, in place; returns what was done, in words.

    A weight stays plain where packing it takes more bytes than it saves.
    """
    plain = {i.name: i for i in proto.graph.initializer}
    writer, packed = Writer(), list[Palette]()
    small, strange = list[str](), list[str]()
    for name, palette in model.palettes.items():
        weight = model.module.get_parameter(name).detach().numpy()
        found, transposed = _stored(plain, name, weight)
        if found is None:
            strange.append(name)
            continue
        used = numpy_helper.to_array(found)
        rows = (used.T if transposed else used).reshape(len(weight), -1)
        encoded = encode(weight.reshape(len(weight), -1), np.ascontiguousarray(rows), palette)
        if encoded is None:
            strange.append(name)
            continue
        start = writer.size
        writer.weight(found.name, encoded, weight.shape, transposed)
        if writer.size - start >= found.ByteSize():
            writer.undo()
            small.append(name)
            continue
        writer.accept()
        packed.append(palette)
        proto.graph.initializer.remove(plain.pop(found.name))
    proto.graph.initializer.extend(writer.tensors)
    rest = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*writer.nodes, *rest])
    words = [*dict.fromkeys(_words(p) for p in packed)]
    if small:
        words.append(f"stored plain, because packed they would be larger: {', '.join(small)}")
    if strange:
        words.append(f"stored plain, because the exporter changed their values: {', '.join(strange)}")
    return tuple(words)


def _words(palette: Palette) -> str:
    if palette.kind == "ternary":
        return "weights: ternary, packed 1.6 bit"
    if palette.kind == "binary":
        return "weights: binary, packed 1 bit"
    return f"weights: {2**palette.bits}-entry palettes, packed {palette.bits} bit"


def _stored(plain: dict[str, TensorProto], name: str, weight: Floats) -> tuple[TensorProto | None, bool]:
    """The file's tensor for a weight, and whether it is transposed: a product of more than two axes is stored so."""
    if name in plain:
        return plain[name], False
    if weight.ndim == 2:
        for tensor in plain.values():
            if tuple(tensor.dims) == weight.T.shape and np.array_equal(numpy_helper.to_array(tensor), weight.T):
                return tensor, True
    return None, False
