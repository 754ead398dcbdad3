"""Who must not be mailed: canonical addresses, the suppression lists and the checks against them.

Knows addresses, not messages. Imports `console` alone.
"""
