"""What can be wrong before fine-tuning starts: settings, examples, encoder; all mistakes are reported at once."""

from __future__ import annotations

from dataclasses import asdict

from bertinchamps.checks.privacy import privacy_problems, record_problems
from bertinchamps.checks.rules import broken
from bertinchamps.checks.training import training_problems
from bertinchamps.data.tokenizer import tokenizer_problems
from bertinchamps.errors import UserError
from bertinchamps.model.adapters import adapters
from bertinchamps.model.architecture import arch_problems
from bertinchamps.model.encoders import longest_input, open_config, open_tokenizer
from bertinchamps.model.heads.windows import pools
from bertinchamps.registry import closest
from bertinchamps.schemas import FinetuneConfig, SelectionConfig, named
from bertinchamps.tasks.distillation import key_of, student_problems, teacher_problems
from bertinchamps.tasks.encoder_source import SCRATCH, encoder_name
from bertinchamps.tasks.examples import Examples
from bertinchamps.tasks.few_shot import few_shot_problems
from bertinchamps.tasks.kinds import Kind, ReadsWholeTexts, kinds
from bertinchamps.tasks.kinds.classes import CUT, WINDOWS
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.tagging.representations import representations
from bertinchamps.tasks.texts.losses import PLAIN, losses
from bertinchamps.tasks.thresholds import CHOICES
from bertinchamps.textfiles.limits import limit_problems, reading
from bertinchamps.training.sparsity import sparsity_problems


@reading
def problems(config: FinetuneConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    return [
        *_task_problems(config),
        *representations.problems(config.head, given=("labels",)),
        *_model_problems(config),
        *_adapter_problems(config),
        *training_problems(config),
        *sparsity_problems("finetune", config.sparsity),
        *privacy_problems(config),
        *_number_problems(config),
        *_distillation_problems(config),
        *few_shot_problems(config.few_shot),
        *limit_problems(config.limits),
        *_long_text_problems(config),
    ]


def _task_problems(config: FinetuneConfig) -> list[str]:
    found = readers.problems(*named(config.task))
    if found:
        return found
    reader = readers.build(**config.task)
    kind = kinds.build(reader.kind)
    found = [*_metric_problems(kind.metrics, config.selection.metric), *_choice_problems(config, kind)]
    found += _wanted_problems(config.selection, kind)
    try:
        reader.check()
    except UserError as error:
        found.append(str(error))
    return found


def _wanted_problems(choice: SelectionConfig, kind: Kind) -> list[str]:
    """Mistakes in what thresholds are to reach."""
    given = {name: value for name in ("recall", "precision") if (value := getattr(choice, name)) is not None}
    found = [
        f"selection.{name}={value}: this task has no threshold to choose; leave it out"
        for name, value in given.items()
        if name not in kind.wants
    ]
    if len(given) > 1:
        found.append(
            "selection.recall, selection.precision: one threshold reaches one of them; leave the other out"
        )
    return found


def _metric_problems(menu: tuple[str, ...], metric: str | None) -> list[str]:
    if metric is None or metric in menu:
        return []
    return [
        f"selection.metric={metric}: no dev score of this task{closest(metric, menu)} (one of: {', '.join(menu)})"
    ]


def _choice_problems(config: FinetuneConfig, kind: Kind) -> list[str]:
    """Mistakes in what only some kinds have: a loss, thresholds, windows of whole texts."""
    whole = kind if isinstance(kind, ReadsWholeTexts) else None
    menu = whole.losses if whole else (PLAIN,)
    given, choice = named(config.loss or {"name": PLAIN}), config.selection.thresholds
    found = losses.problems(*given)
    if not found and given[0] not in menu:
        found = [f"loss={given[0]}: this task learns no classes of texts; use loss={PLAIN}"]
    choices = whole.threshold_choices if whole else CHOICES
    if choice not in choices:
        why = "" if choice not in CHOICES else ", since this task has no thresholds of labels"
        found += [f"selection.thresholds={choice}: {' or '.join(choices)}{why}"]
    if config.long_texts.read == WINDOWS and not whole:
        found += [f"long_texts.read={WINDOWS}: this task reads texts in windows of its own; use cut"]
    return found


def _long_text_problems(config: FinetuneConfig) -> list[str]:
    choice, menu = config.long_texts, pools.names()
    longest = config.max_length // 2 - 1
    return broken(
        ("long_texts.read", choice.read, choice.read in (CUT, WINDOWS), f"{CUT} or {WINDOWS}"),
        ("long_texts.pool", choice.pool, choice.pool in menu, f"one of {', '.join(menu)}"),
        (
            "long_texts.overlap",
            choice.overlap,
            0 <= choice.overlap <= longest or choice.read == CUT,
            f"from 0 to {longest}, less than half of max_length",
        ),
        ("long_texts.most", choice.most, choice.most >= 1, "must be at least 1"),
        ("long_texts.at_once", choice.at_once, choice.at_once >= 1, "must be at least 1"),
    )


def _model_problems(config: FinetuneConfig) -> list[str]:
    arch, length = config.arch, config.max_length
    # read where model=scratch alone, but whoever sets them means them to be read
    found = [*arch_problems(asdict(arch)), *tokenizer_problems(config.tokenizer)]
    if config.model != SCRATCH:
        try:
            encoder_name(config)
        except UserError as error:
            found.append(str(error))
        return found
    fits = arch.positions != "learned" or length <= arch.max_positions
    remedy = f"learned positions end at arch.max_positions={arch.max_positions}"
    return [*found, *broken(("max_length", length, fits, remedy))]


def _adapter_problems(config: FinetuneConfig) -> list[str]:
    name, settings = named(config.adapter)
    found = adapters.problems(name, settings)
    if found:
        return found
    adapter = adapters.build(**config.adapter)
    if problem := adapter.missing():
        return [problem]
    trains, matrices = adapter.trains_encoder, adapter.trains_matrices
    random = "keeps the encoder's weights as they are, and those of model=scratch are random; give model="
    keeps = trains or not matrices
    dense = (
        f"adapter={name} adds dense products to matrices, and merging fills their zeros; leave sparsity out"
    )
    muon = f"trains matrices inside the layers, and adapter={name} has none; use optim=adamw"
    return broken(
        ("adapter", name, trains or config.model != SCRATCH, random),
        ("sparsity", "keep", keeps or config.sparsity.get("name") != "keep", dense),
        ("optim", "muon", matrices or config.optim.get("name") != "muon", muon),
    )


def _number_problems(config: FinetuneConfig) -> list[str]:
    choice, dropout, patience = config.selection, config.dropout, config.selection.patience
    batches_differ = "must be off: batches differ in length, and each length would be compiled anew"
    return broken(
        ("runtime.compile", config.runtime.compile, config.runtime.compile == "off", batches_differ),
        ("max_length", config.max_length, config.max_length >= 16, "must be at least 16"),
        ("dropout", dropout, 0 <= (dropout or 0) < 1, "from 0 to less than 1"),
        ("mask_rate", config.mask_rate, 0 <= config.mask_rate < 1, "from 0 to less than 1"),
        ("batch.evaluation", config.batch.evaluation, config.batch.evaluation >= 1, "must be at least 1"),
        ("selection.every_epochs", choice.every_epochs, choice.every_epochs > 0, "must be above zero"),
        (
            "selection.patience",
            patience,
            patience is None or patience >= 1,
            "must be at least 1; null: never stop early",
        ),
        (
            "selection.recall",
            choice.recall,
            choice.recall is None or 0 < choice.recall < 1,
            "a share between 0 and 1, such as 0.995; null: no threshold for recall",
        ),
        (
            "selection.precision",
            choice.precision,
            choice.precision is None or 0 < choice.precision < 1,
            "a share between 0 and 1, such as 0.95; null: no threshold for precision",
        ),
        (
            "selection.folds",
            choice.folds,
            choice.folds is None or choice.folds >= 2,
            "must be at least 2; null: no folds",
        ),
        ("selection.dev_share", choice.dev_share, 0 < choice.dev_share < 1, "a share between 0 and 1"),
    )


def _distillation_problems(config: FinetuneConfig) -> list[str]:
    choice = config.distillation
    found = broken(
        ("distillation.weight", choice.weight, 0 <= choice.weight <= 1, "from 0 to 1"),
        ("distillation.passages", choice.passages, choice.passages >= 1, "must be at least 1"),
        ("distillation.own_teachers", choice.own_teachers, choice.own_teachers >= 0, "must be at least 0"),
        (
            "distillation.teacher_epochs",
            choice.teacher_epochs,
            choice.teacher_epochs is None or choice.teacher_epochs > 0,
            "must be more than 0",
        ),
        (
            "budget.hours",
            config.budget.hours,
            not (choice.own_teachers and config.budget.hours),
            "each of distillation.own_teachers would take as long again; give budget.epochs",
        ),
        (
            "distillation.files",
            choice.files,
            not choice.files or key_of(choice) is not None,
            "nobody labels them: name distillation.teachers, or distillation.own_teachers=1",
        ),
    )
    key = key_of(choice)
    if key is None or readers.problems(*named(config.task)):
        return found
    kind = kinds.build(readers.build(**config.task).kind)
    return found + student_problems(key, kind, named(config.loss or {"name": PLAIN})[0])


def refuse_unusable(config: FinetuneConfig, examples: Examples, encoder: str) -> None:
    """Refuse examples or an encoder that cannot be used, before a directory is made.

    Raises:
        UserError: every mistake, a line each.
    """
    found = examples.kind.example_problems(examples.splits, examples.labels)
    found += teacher_problems(config.distillation, examples.kind, config.head, examples.labels)
    found += record_problems(config, examples)
    prompt = adapters.build(**config.adapter).extra_tokens
    if any(getattr(each, "pair", None) for each in examples.splits["train"]):
        found += _pair_problems(config)
    if encoder != SCRATCH:
        try:
            longest = longest_input(open_config(encoder))
            tokenizer = open_tokenizer(encoder)
        except UserError as error:
            found.append(str(error))
        else:
            found += broken(
                (
                    "max_length",
                    config.max_length,
                    config.max_length <= longest - prompt,
                    f"this encoder reads at most {longest} tokens at once"
                    + (f", {prompt} of them the prompt's" if prompt else "")
                    + f"; set max_length={longest - prompt} or less",
                ),
                (
                    "mask_rate",
                    config.mask_rate,
                    not config.mask_rate or tokenizer.mask_token_id is not None,
                    "the encoder's tokenizer has no mask token; set mask_rate=0",
                ),
            )
    if found:
        raise UserError("\n".join(found))


def _pair_problems(config: FinetuneConfig) -> list[str]:
    """Settings that are for single texts."""
    read, files = config.long_texts.read, config.distillation.files
    alone = "are single texts, and examples are pairs here; leave them out"
    return broken(
        (
            "long_texts.read",
            read,
            read != WINDOWS,
            f"single texts have windows, and these are pairs; use {CUT}",
        ),
        ("distillation.files", ", ".join(files), not files, alone),
    )


def length_remarks(config: FinetuneConfig, encoder: str) -> list[str]:
    """A remark where windows are longer than the encoder was trained for, but not too long for it."""
    if encoder == SCRATCH:
        made_for = config.arch.max_positions
    else:
        made_for = getattr(open_config(encoder), "max_position_embeddings", None) or config.max_length
    if config.max_length <= made_for:
        return []
    return [
        f"max_length={config.max_length} is more than the {made_for} tokens that the encoder was made for: it reads "
        "them, but never learnt such distances, and time and memory grow with the square of a text's length"
    ]
