"""Schedules that break a running stack, and whether its books balance afterwards."""
