"""Fill a table: which runs it is missing, and running them."""
