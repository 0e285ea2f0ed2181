"""Latency, memory and energy of engines, each in a process of its own."""
