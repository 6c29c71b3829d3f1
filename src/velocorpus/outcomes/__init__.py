"""What became of each sample: a failure is an outcome with a reason, and never stops the others."""
