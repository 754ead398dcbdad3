"""Mail that comes back: read (pure: `read`, `types` and what they use), taken in, kept and acted on.

The readers know no database and trust nothing that they read: every one of them is bounded and raises nothing.
"""
