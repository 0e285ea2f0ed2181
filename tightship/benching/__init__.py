"""Measure, compare and load files that may come from anywhere."""
