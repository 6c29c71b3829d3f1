"""The Zorro encoder and its decoders (torch only)."""
