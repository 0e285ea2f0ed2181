"""Sections of what outputs are worth: each class, further metrics, each output."""
