"""Telling other systems what became of mail: written in the transaction in which it happens (outbox), sent by a job.

`payload` is pure. Nothing here decides what becomes of a message, and no mail waits for any of it.
"""
