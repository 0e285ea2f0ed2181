"""Sections of how fast files are: latency, roofline, and in a loop."""
