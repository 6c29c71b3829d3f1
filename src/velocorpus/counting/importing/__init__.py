"""Counts of other tools in: one reader a dialect, genes mapped, nothing dropped in silence."""
