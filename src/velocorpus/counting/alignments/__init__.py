"""Alignments in: BAM by compiled code, SAM and CRAM by pysam, both as the same reads."""
