"""One attack a module, each with a card."""
