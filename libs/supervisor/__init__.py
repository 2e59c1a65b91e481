"""The whole stack on one machine, under one small supervisor."""
