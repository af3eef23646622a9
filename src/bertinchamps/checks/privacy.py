"""What can be wrong with the protection of records: settings by which they would be mixed, or told of otherwise."""

from __future__ import annotations

from bertinchamps.checks.rules import broken
from bertinchamps.launch import launched
from bertinchamps.schemas import FinetuneConfig, named
from bertinchamps.tasks.distillation import key_of
from bertinchamps.tasks.encoder_source import SCRATCH
from bertinchamps.tasks.examples import Examples
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.kinds.classes import WINDOWS
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.texts.losses import PLAIN, losses
from bertinchamps.training.clock import most_updates
from bertinchamps.training.privacy import Privacy, privacies

NONE = "none"


def privacy_problems(config: FinetuneConfig) -> list[str]:
    """Mistakes in the choice of a protection, in the user's key names."""
    name, settings = named(config.privacy)
    found = privacies.problems(name, settings)
    if found:
        return found
    privacy = privacies.build(**config.privacy)
    if not privacy.protects:
        return []
    missing = privacy.missing()
    rules = [*_of_updates(config, name), *_mixing(config, name), *_of_passes(config, privacy, name)]
    return [*([missing] if missing else []), *broken(*rules), *_task_problems(config, name)]


def _of_updates(config: FinetuneConfig, name: str) -> list[tuple[str, object, bool, str]]:
    """What the noise is made for: a number of updates of one size."""
    some = any(limit is not None for limit in vars(config.budget).values())
    counted = most_updates(config.budget, max(1, config.batch.size), 1) is not None
    made = f"privacy={name} makes the noise for a number of updates; give budget.epochs or budget.steps"
    ramp, folds = config.batch.ramp, config.selection.folds
    return [
        ("budget", "hours, tokens or FLOPs alone", counted or not some, made),
        ("batch.ramp", ramp, ramp == 0, f"privacy={name} draws updates of one size; set 0"),
        (
            "selection.folds",
            folds,
            folds is None,
            f"each spends ε on the same records; not with privacy={name}",
        ),
    ]


def _mixing(config: FinetuneConfig, name: str) -> list[tuple[str, object, bool, str]]:
    """Settings by which more than the noisy gradients would depend on a record."""
    sparsity, few = config.sparsity.get("name"), config.few_shot.examples
    loss, distillation = named(config.loss or {"name": PLAIN}), config.distillation
    teachers = key_of(distillation)
    counts = not losses.problems(*loss) and losses.build(loss[0], **loss[1]).counts_train
    given = f"privacy={name}"
    scratch = (
        f"{given} protects no tokenizer, which model=scratch learns from train, and noise hides what little a new "
        "encoder learns; give model="
    )
    chosen = f"which ones are chosen depends on the others, and noise hides what few teach; not with {given}"
    weighs = f"it weighs classes by their counts in train, which {given} would have to hide"
    return [
        ("model", config.model, config.model != SCRATCH, scratch),
        ("sparsity", sparsity, sparsity == NONE, f"not with {given}"),
        ("few_shot.examples", few, few is None, chosen),
        (
            teachers or "distillation.teachers",
            distillation.teachers or distillation.own_teachers,
            teachers is None,
            f"what they learnt is not protected; not with {given}",
        ),
        ("loss", loss[0], not counts, weighs),
    ]


def _of_passes(config: FinetuneConfig, privacy: Privacy, name: str) -> list[tuple[str, object, bool, str]]:
    """Settings that gradients of single records do not go with."""
    runtime, size, apart = config.runtime, launched().world_size, "set privacy.gradients=apart"
    checkpointing, read = runtime.activation_checkpointing, config.long_texts.read
    return [
        ("runtime.precision", runtime.precision, runtime.precision != "fp16", f"not with privacy={name}"),
        (
            "runtime.activation_checkpointing",
            str(checkpointing).lower(),
            not (checkpointing and privacy.together),
            f"hooks would see each layer twice; leave it out, or {apart}",
        ),
        (
            "long_texts.read",
            read,
            not (read == WINDOWS and privacy.together),
            f"windows of several texts share a pass; {apart}",
        ),
        ("processes", size, size == 1, f"privacy={name} trains in one process"),
    ]


def _task_problems(config: FinetuneConfig, name: str) -> list[str]:
    """Why records of this kind of task cannot be protected."""
    if readers.problems(*named(config.task)):
        return []
    kind = kinds.build(readers.build(**config.task).kind)
    if kind.mixes_records is None:
        return []
    return [f"privacy={name}: not for this task: {kind.mixes_records}"]


def record_problems(config: FinetuneConfig, examples: Examples) -> list[str]:
    """Mistakes that the examples show, in the user's key names."""
    privacy = privacies.build(**config.privacy)
    if not privacy.protects:
        return []
    found = privacy.size_problems(len(examples.splits["train"]), config.batch.size)
    if examples.carved:
        found.append(
            f"privacy={config.privacy['name']}: dev is carved from train, and each text of train decides which ones go "
            "there; give a dev split (task.dev=)"
        )
    return found
