"""The steps that time files: alone and against each other, in a loop, by layer, and in energy."""
