"""Decision: what to do about an event, and why, and why not."""
