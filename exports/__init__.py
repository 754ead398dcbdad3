"""Any list as a file: asked for on the list's page, made by a job, kept for some days.

Knows lists (console/lists.py), not what they are of. Imports `console` alone.
"""
