"""One defence a module, each with a card."""
