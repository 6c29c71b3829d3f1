"""Cells of a corpus or an AnnData as batches of packed tokens."""
