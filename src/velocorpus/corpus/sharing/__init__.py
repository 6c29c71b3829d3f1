"""A corpus given away by S3, and brought back: what changed only, verified, the manifest last."""
