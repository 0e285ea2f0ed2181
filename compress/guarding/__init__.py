"""The accuracy guard: a search for remedies for an int8 file that lost too much, and the remedies."""
