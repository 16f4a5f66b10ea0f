"""Measures what a crash and a rolling restart cost, on an installation of its own with a simulated network.

`trial` is one run: an installation, linked sessions with full queues (`load`), and what the virtual phones showed in the end
(`figures`). `failover` and `rolling` are what is done to it meanwhile.
"""
