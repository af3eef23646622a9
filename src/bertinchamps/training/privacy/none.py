"""No protection of records."""

from __future__ import annotations

from bertinchamps.training.privacy import Privacy, privacies

privacies.register("none")(Privacy)
