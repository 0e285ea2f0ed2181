"""Pack one artifact for its device, and the scripts that travel with it."""
