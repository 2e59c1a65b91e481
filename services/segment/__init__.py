"""Segment: named audiences, as conditions over profiles."""
