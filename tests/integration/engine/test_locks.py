"""Two runs and one host: waiting, skipping, failing, taking away; and budgets over several workers."""
