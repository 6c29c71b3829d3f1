"""FASTA + GTF to transcript models, indices and the gene vocabulary."""
