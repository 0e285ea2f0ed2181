"""Reference tasks: a task is a model, its data and its metric. Also where a user's own models and data come in."""
