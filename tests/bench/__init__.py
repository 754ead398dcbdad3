"""`make bench`: what the product does in a second, on this machine, in one run. Prints; asserts nothing."""
