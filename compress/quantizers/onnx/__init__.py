"""Quantizers of ONNX files."""
