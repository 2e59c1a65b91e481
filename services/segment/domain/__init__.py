"""What segment knows: types and rules, no I/O."""
