"""Which cells and genes count: QC, the filter, splits."""
