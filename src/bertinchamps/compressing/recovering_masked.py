"""recover, of a masked language model: `pretrain model=` trains what a step left on the texts that do not score.

Everything of that short run lies below the unfinished output, texts and blocks included, and goes with it.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from bertinchamps.composing import configuration
from bertinchamps.compressing import Done, Material
from bertinchamps.compressing.masked_texts import calibrating
from bertinchamps.compressing.rebuilding import copy_files
from bertinchamps.data.preparation import prepare
from bertinchamps.durable import write_file
from bertinchamps.errors import Stopped, UserError
from bertinchamps.model.encoders import longest_input, open_config
from bertinchamps.objectives import build_objective
from bertinchamps.objectives.base_tokenizer import with_tokenizer_of_base
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.assembly import assemble
from bertinchamps.training.hooks import Evaluation
from bertinchamps.training.run import open_run
from bertinchamps.training.run_files import read_summary
from bertinchamps.training.runtime import build_runtime
from bertinchamps.training.sparsity.masks import read_facts as sparsity_of

RUN = ".recovery"  # its directory, beside the model that it trains
LENGTH = 128  # tokens of a row, or as many as the model reads
HELD_OUT = 0.05  # of the texts that are trained on: they decide whether the trained weights are kept


def recover_masked_lm(
    folder: Path, material: Material, place: Path, epochs: float, learning_rate: float | None
) -> Done:
    """Train the model of a step before on the texts of `texts=` that do not score.

    Args:
        folder: of the model.
        material: has the texts.
        place: gets the trained model; the one before where held-out texts say that training did not help.
        epochs: passes over the texts.
        learning_rate: highest one; None: that of `experiment=continue`.

    Raises:
        UserError: there is too little text.
        Stopped: a signal ended training.
    """
    work = place / RUN
    work.mkdir(mode=0o700)
    lines = (json.dumps({"text": text}, ensure_ascii=False) for text in calibrating(material.unlabelled))
    write_file(work / "texts.jsonl", "\n".join(lines) + "\n")
    config = with_tokenizer_of_base(_settings(folder, material, work, epochs, learning_rate))
    try:
        corpus = prepare(config, lambda line: None)
    except UserError as error:
        raise UserError(f"steps: recover: texts= holds too little to train on: {error}") from error
    runtime = build_runtime(config.runtime)
    objective = build_objective(config, corpus, runtime.device)
    origins = objective.origins()
    source = material.source
    origins["continued_from"]["model"] = source.run.name if source.run else source.folder.name
    settled = {"origins": origins}
    run = open_run("pretrain", config, corpus.fingerprint, "recovery", lambda line: None, settled)
    with run.lock:
        objective.begun_with(origins)
        evaluation = partial(Evaluation, config.evaluation)
        with assemble(config, objective, runtime, run, evaluation) as training:
            training.fit()
            if training.trainer.stop_requested:
                raise Stopped("stopped while recovering; nothing was written", training.trainer.stopped_by)
            training.conclude()
    summary = read_summary(run.folder)
    before, after = summary["held_out_before"]["loss"], summary["held_out"]["loss"]
    better = after < before
    copy_files(run.folder / "model" if better else folder, place)
    shutil.rmtree(work)
    told = {"metric": "loss", "before": before, "after": after, "kept": better, "epochs": epochs}
    found = "" if better else "; no better, so the model stays as it was"
    return Done(
        {**told, "tokens": summary["spent"]["tokens"]},
        [f"recovered  {epochs:g} epochs of the texts: held-out loss {before:.4f} → {after:.4f} nats{found}"],
    )


def _settings(
    folder: Path, material: Material, work: Path, epochs: float, learning_rate: float | None
) -> PretrainConfig:
    """Those of `pretrain model=`, with the runtime of the command."""
    length = min(LENGTH, longest_input(open_config(str(folder))))
    words = [
        "data=files",
        "data.files=[texts.jsonl]",
        "model=base",
        "experiment=continue",
        "evaluation.every=1",
        f"blocks.sequence_length={length}",
        f"blocks.held_out_share={HELD_OUT}",
        f"budget.epochs={epochs}",
        f"seed={material.config.seed}",
        "report.html=false",
        *(["sparsity=keep"] if sparsity_of(folder) else []),
        *([] if learning_rate is None else [f"optim.learning_rate={learning_rate}"]),
    ]
    config: PretrainConfig = configuration("pretrain", words)
    return replace(
        config,
        model=str(folder),
        data={**config.data, "files": [str(work / "texts.jsonl")]},
        blocks=replace(config.blocks, cache_dir=str(work / "cache")),
        runtime=material.runtime,
        run_dir=str(work / "run"),
        resume="never",
    )
