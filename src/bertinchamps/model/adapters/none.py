"""No adapter: encoder and head are trained as a whole."""

from __future__ import annotations

from bertinchamps.model.adapters import Adapter, adapters


@adapters.register("none")
class NoAdapter(Adapter):
    """All weights are trained, and saved."""
