"""How much a network multiplies: counted once, here, on the operators that really run."""
