"""Prune for measured latency: which blocks and widths to keep, by what they cost on the target."""
