"""The pages of exports. Each module registers its own."""
