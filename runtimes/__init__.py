"""File in, session out: one file per runtime, each behind the same three verbs: probe, build, open."""
