"""Protection of the records that a model is trained on, one file a variant (`privacy=NAME`).

    privacies.build("none")                 no protection
    privacies.build("dp_sgd", epsilon=8)    differential privacy: clipped gradients of records, and noise on their sum

A record is what is protected as a whole: a document with all its windows, or a text. `private_run.py` draws the records
of each update and the noise, `record_gradients.py` computes and clips the gradient of each record, `private_step.py`
adds the noise, and `accounting.py` asks Opacus for the noise that a guarantee needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertinchamps.registry import Registry
from bertinchamps.schemas import BudgetConfig

if TYPE_CHECKING:
    from bertinchamps.training.privacy.private_run import PrivateRun, ProtectedExamples


class Privacy:
    """How the records of train are protected; this class: not at all.

    Attributes:
        protects: False: a run is as it would be without this.
        together: True: records of a micro-batch may go through the model in one pass.
    """

    protects = False
    together = False

    def missing(self) -> str | None:
        """Why the variant cannot be used here, such as a library that is not installed; None: it can."""
        return None

    def size_problems(self, records: int, size: int) -> list[str]:
        """Mistakes that the number of records shows, in the user's key names.

        Args:
            records: of train.
            size: records in an update, on average.
        """
        del records, size
        return []

    def run_of(self, examples: ProtectedExamples, size: int, budget: BudgetConfig) -> PrivateRun | None:
        """What draws records and noise of a run; None: nothing is protected."""
        del examples, size, budget
        return None


privacies: Registry[Privacy] = Registry("privacy", "privacy", package=__name__)
