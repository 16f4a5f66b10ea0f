"""The HTTP API: what ordering systems call, what the bridge reports to, and what monitors ask.

`api` is mounted at /api/v1, behind `root`; `internal_urls` is the bridge's door; `probe_urls` and `metrics_urls` answer outside
of it, and so do `legacy_urls` where they are wanted.
"""

from sessions_app.api.app import api, root
from sessions_app.api.internal import urls as internal_urls
from sessions_app.api.legacy import urls as legacy_urls
from sessions_app.api.metrics import urls as metrics_urls
from sessions_app.api.probes import urls as probe_urls

__all__ = ["api", "internal_urls", "legacy_urls", "metrics_urls", "probe_urls", "root"]
