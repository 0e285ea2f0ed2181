"""Low rank: layers become pairs of thinner ones."""
