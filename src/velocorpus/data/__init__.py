"""From shards to batches of tokens."""
