"""Spliced, unspliced and ambiguous molecules: from a BAM, or from another tool's counts."""
