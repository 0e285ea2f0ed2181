"""What this machine could do at best, and what a call has to do."""
