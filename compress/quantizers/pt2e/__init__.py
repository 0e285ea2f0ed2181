"""Quantizers of modules, by PyTorch's own tools."""
