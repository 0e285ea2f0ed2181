"""From a recipe to its plan: which steps there are, in which order, under which keys."""
