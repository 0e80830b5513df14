"""What the laboratory makes outside its own memory, written down before it does, and undone."""
