"""What `leo demo` shows: a shop's people and purchases on their way into LEO Activation."""
