"""The engine: from rows that are due to what became of them. claim → route → compose → dkim → smtp → classify → settle.

run.py          the stages joined                     claim.py        rows taken by lease, and committed
second_look.py  what changed since the request        store.py        versions, tasks, keys and users, remembered
waking.py       what is due, or was left by others
route.py        where a domain's mail goes            sites.py, ways.py   routes remembered, looked up once at a time
shape.py        how much of a receiver's patience     shares.py, permits.py   and which part of it is this engine's
compose.py      the finished mail                     headers.py, bodies.py, quoted.py   its bytes
dkim.py         its signature                         lane.py, call.py    connections to a site, and one of them
smtp.py         the way to a session                  session.py, wire.py, hop.py, certificate.py   the session
classify.py     reply → verdict                       journal.py, settler.py, settle.py   verdict → rows
retry.py        when again, and until when            tally.py        what it counts of itself

Nothing waits for the network inside a transaction. No page, no request and no list is known here.
"""
