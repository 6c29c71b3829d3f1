"""Several counts of the same reads, held against each other and against the truth."""
