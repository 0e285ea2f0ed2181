"""Weights of few distinct values: palettes, ternary, binary."""
