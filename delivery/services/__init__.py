"""What pages, jobs and commands call to change something, and the questions that more than one of them asks.

One file a noun or a rule. Functions take what they need, open their own transaction, and raise a `Refused` whose text a
person can act on. No request, no template and no list lives here, and nothing that waits for a mail server: that is the
engine's.
"""
