"""Measures the system, each time on an installation of its own (`installation`).

`trial` is a run under damage: linked sessions with full queues (`load`), and what the virtual phones showed in the end
(`figures`); `failover` and `rolling` are what is done to it meanwhile.

`drain` is one real worker with thousands of paced sessions and the `stub_bridge`, `paced` the same with real bridges: `queues`
fills the tables, `slots` says how late sends were, `claims` what the database does for them. `send` puts the whole way beside
Baileys alone (`bare`). `memory` watches sessions do nothing. `usage` reads CPU and memory.
"""
