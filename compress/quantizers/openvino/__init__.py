"""Quantizers of OpenVINO files."""
