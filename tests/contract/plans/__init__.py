"""The plans of statements, as the services run them, on data of a size that makes plans differ."""
