"""Run a recipe: execute its plan step by step, and put the evidence together."""
