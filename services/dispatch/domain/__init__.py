"""What dispatch knows: types and rules, no I/O."""
