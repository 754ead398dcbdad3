"""Pages of the suppression lists. Each module registers its own."""
