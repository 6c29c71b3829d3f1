"""What changes a corpus that stands: samples come and go, a part is taken, an old schema becomes today's."""
