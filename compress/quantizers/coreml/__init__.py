"""Quantizers of Core ML packages."""
