"""Hold what was measured against limits, and against an earlier run."""
