"""The stand-alone script that travels in every bundle; it imports nothing of tightship."""
