"""The engine: Celery workers that own sessions, keep them connected and drain their queues.

**Guarantee.** A session has one owner at most; only the owner sends for it; a message is committed as `sending`, with
its WhatsApp id, before anything touches the wire; what came of it is settled once, or is known to be uncertain and
sent again under the same id before anything else of that session. Nothing that was accepted is lost, whatever dies.

**How.** A worker leases the right to own: its row's `expires_at` on the database's clock, renewed every 2 s for 6 s.
A claim raises the session's `term`; every write of an owner, and every key write of its bridge, carries `(owner,
term)`. The worker stops by itself one second before its lease would run out, on a clock that no one sets, and closes
its sockets without logging out.

What can fail, and what follows:

- *The worker dies* (kill -9, power). Its bridge dies with it. Its lease runs out within 6 s; others claim its
  sessions with higher terms, log in with the stored credentials, and settle what was under way: uncertain, resent
  first. Started again under its name, it takes its own back at once.
- *The worker is frozen and thaws*, or is cut off from PostgreSQL. Its lease has run out: it finds so before its next
  act, its writes match no row. Its bridge was lent what was left of that lease, so it has let go of its sockets by
  itself before anybody else could claim, and PostgreSQL has taken back whatever a transaction of it had locked.
- *The bridge dies.* It is started again with backoff; after a few seconds without it the worker gives its sessions to
  others. A worker whose bridge cannot run (no Node, no files) says so in its row and owns nothing.
- *The bridge hangs.* When it has answered nothing for 15 s it is killed, and another one is started.
- *The code of one session throws.* The bridge ends that session alone; after three times it is in quarantine.
- *One session takes its whole bridge down*, again and again. No process can say why it died, so `suspects` keeps a record
  of who was logging in, or sending; those with a record log in apart from each other until one is alone with a death, and
  that one is in quarantine until a person restarts it. The record is in its row: no second bridge has to learn it anew.
- *PostgreSQL is away.* Nothing is claimed; results wait in memory while the lease lasts, and are uncertain after it.
  Work resumes by itself; a call that is never answered is cut off after a minute.
- *Redis is away or flushed.* Wake-ups are lost; owners look for work themselves, about every second.
- *A commit is in doubt.* Settling again is harmless; a claim nobody heard of is found and given back.
- *A clock is set.* The database's: leases and waits are kept by the workers' steady clocks and moved along. The worker's own or
  the bridge's: nothing depends on them.
- *SIGTERM.* Sessions are handed to the others a few at a time, in their pauses, while the rest goes on sending; after three
  seconds, or with nobody else there, sends under way are finished, sockets closed, the rest released, the lease ended: within
  10 s, whatever Celery itself still waits for.
- *A worker comes.* The others hand it its fair share in the same way.

Not guaranteed: that an uncertain message was not shown already. It is sent again under the same id, and WhatsApp's
apps show one message for each chat and id.

Reading order: `celery`, `steps` (thin shells), `runner` (the thread), `engine` (what runs in it, in `loops`), `table` (what it
knows of its sessions), `ownership`, `looks` and `truths` (what is read and written of them), `links` and `changes`, `signals`,
`drain` with its `agenda`, `pacer` and `answers`, `bridge` with its `batches`, `inquiries`; `bridge_command`, `bridge_process`
and `spool`, `bridge_lease` and `suspects` for bridges that hang and die. `database` and `clocks` are under all of it, `alive`
beside it.
`tasks`, `webhooks` and `webhook_calls` are the default worker's.
"""
