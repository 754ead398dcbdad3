"""What is sent, and how: domains, templates, groups, tasks, messages, and the engine that delivers them.

Imports `suppression` and `console`. What comes back from recipients lives in `tracking`, never here.
"""
