"""The built-in outside world: recipients' mail servers and the DNS that leads to them, on loopback only.

behaviour.py   which address answers what: one table, pure
moods.py       domains whose servers have moods: one table, pure
tally.py       who came how often: connections and messages in each second
visit.py       a connection as a visit to a server with a mood, or without
line.py        the transport of one connection, and how long its answers take
record.py      what was accepted and refused, in append-only files apart from the database
smtp.py        the SMTP server: a plain asyncio protocol, and a stern reader of what it is sent
post.py        what all connections share
letters.py     the mails that come back from an address, as servers in the world write them: pure
returns.py     bringing them back, by SMTP and HTTP
habits.py      who does what with a mail that has arrived: one table, pure
readers.py     opening mail and following its links, by HTTP
message.py     a mail as it came over the wire: pure
tls.py         a self-made certificate, when STARTTLS is asked for
zone.py        the DNS zone: built-in names, and those published in `zone.json`
dns.py         the DNS server over UDP and TCP
server.py      `Simulator`, both together; `running_simulator` (thread) and `simulator_process` for tests and benches
foreground.py  the same until a signal comes: `manage.py simulator`, or `python -m delivery.simulator`

It shares no code with the engine: who judges must not make the same mistakes. Nothing here imports Django.
"""
