"""Model in, file out: one file per format."""
