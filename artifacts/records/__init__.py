"""The records that evidence is made of."""
