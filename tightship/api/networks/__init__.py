"""Techniques and artifacts: a network that is given as an object, changed, written, run and measured."""
