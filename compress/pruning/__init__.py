"""Make a network smaller by taking weights, channels or whole blocks out of it."""
