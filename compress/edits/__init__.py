"""Changes of a network's structure, made in place and made again when a stored one is loaded."""
