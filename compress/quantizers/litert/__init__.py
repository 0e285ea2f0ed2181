"""Quantizers of LiteRT files."""
