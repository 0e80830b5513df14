"""What travels and what it means: templates, outcome packets, synthesis, answers."""
