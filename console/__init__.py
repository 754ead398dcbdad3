"""The ground floor: settings, database, identity, roles, and the kit that every page is built from.

Nothing here knows what a mail is. Other packages import this one; it imports none of them.
"""
