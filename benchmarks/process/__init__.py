"""The process that holds one engine, and the other end of the line to it."""
