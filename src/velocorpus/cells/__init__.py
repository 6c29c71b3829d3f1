"""Which cells and genes belong to the corpus, and the figures by which a cell is judged."""
