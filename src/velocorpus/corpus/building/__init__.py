"""From counts to a corpus: totals, vocabulary, shards and manifest, each by its own job or all in one process."""
