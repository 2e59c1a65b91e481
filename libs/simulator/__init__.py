"""The providers of messages as a process of our own, for tests and demonstrations.

It shares no code with the adapters that it answers, so that both cannot be wrong in the same way.
"""
