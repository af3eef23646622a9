"""python -m bertinchamps.serve: models of runs answer over HTTP, on this machine, until a signal ends the service."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("serve")
    sys.exit()

from transformers.utils.logging import disable_progress_bar

from bertinchamps.console import tell
from bertinchamps.schemas import ServeConfig
from bertinchamps.serving.application import application
from bertinchamps.serving.batching import Collector
from bertinchamps.serving.figures import Figures
from bertinchamps.serving.models import open_models, warm_up
from bertinchamps.serving.server import address_of, bound, run, token_of


def serve(config: ServeConfig) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Raises:
        UserError: a model cannot be read, or the address is taken.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    opened, figures = bound(config.host, config.port), Figures()
    models = open_models(config)
    warm_up(models)
    wait = config.collecting.milliseconds / 1000
    collector = Collector(config.collecting.texts, wait, config.limits.waiting, figures.computed)
    figures.watch(lambda: collector.waiting)
    for model in models:
        tell(f"model      {model.name}: {', '.join(f'/{path}' for path in model.abilities)}")
    tell(f"serving    {address_of(opened)} (the page; /openapi.json describes the rest); Ctrl-C ends it")
    run(application(config, models, collector, figures, token_of(config.token)), opened)
    collector.close()
    tell("ended      all requests have their answers")
