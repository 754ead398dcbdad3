"""What comes back: unsubscriptions, clicks, opens, bounces and complaints, and the public pages that take them.

Imports everything below it; nothing imports this package.
"""
