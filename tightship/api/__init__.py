"""What the public face is made of, one file a theme; the command line calls it too. torch is imported where it is used."""
