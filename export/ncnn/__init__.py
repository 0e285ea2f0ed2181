"""ncnn files, by pnnx."""

from export.base import Format

FORMAT = Format("ncnn", "export.ncnn.export:export", ("torch", "pnnx"), (".param",), sidecars="export.base:weights_bin")
