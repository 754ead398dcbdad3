"""Pages of what comes back. Each module registers its own."""
