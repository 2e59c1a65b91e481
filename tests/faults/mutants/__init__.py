"""Workers with one flaw each: `python -m tests.faults.mutants.<name> work`.

Each is the real worker with one rule of docs/reference/delivery.md taken out of it in memory. The
schedules have to find every one of them.
"""
