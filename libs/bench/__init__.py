"""How fast it is, measured the way users would: `leo bench`."""
