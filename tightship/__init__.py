"""Compress models tight, and ship them: the room that knows the order, from recipe to bundle."""
