"""The evidence as files and texts, one module a view."""
