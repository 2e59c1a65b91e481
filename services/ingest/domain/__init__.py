"""What ingest knows: types and rules, no I/O."""
