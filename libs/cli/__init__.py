"""`leo`, the one command of people and scripts."""
