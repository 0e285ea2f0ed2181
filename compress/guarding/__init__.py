"""The accuracy guard: a ladder of remedies for an int8 file that lost too much, and the remedies."""
