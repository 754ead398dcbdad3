"""Statistics: recounted from the rows, drawn as charts, handed out as files.

What is counted, and how it is summed, lies in delivery, which writes most of it (delivery/services/columns.py,
deltas.py, rollup.py).
"""
