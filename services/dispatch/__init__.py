"""Dispatch: carries out decisions, and shows every doubt about it."""
