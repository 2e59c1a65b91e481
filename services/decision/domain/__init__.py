"""What decision knows: rules and how they are asked, no I/O."""
