"""Whether a file computes what its network computes, and where it diverges."""
