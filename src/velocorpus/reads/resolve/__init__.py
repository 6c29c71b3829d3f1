"""Accessions to tables: what the archives say of a run, and which of its files are worth fetching."""
