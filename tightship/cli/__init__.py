"""The command line: one file per verb; the work is done by the modules that each names."""
