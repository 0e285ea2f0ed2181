"""What a user may ask for, read from YAML and checked."""
