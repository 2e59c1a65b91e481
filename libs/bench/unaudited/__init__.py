"""What the processes of a stack without the audit find on their PYTHONPATH."""
