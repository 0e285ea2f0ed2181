"""CSV and TSV files: columns of numbers, of text, or both."""
