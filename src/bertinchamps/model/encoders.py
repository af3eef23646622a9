"""Any Hugging Face encoder, opened: its configuration, its tokenizer, and its weights, which are loaded strictly.

FOLDER/config.json model.safetensors    the encoder, with its head where the head is a stock one
FOLDER/head.safetensors                 a head that stock classes do not have (nested)
FOLDER/tokenizer.json …                 its tokenizer
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.hub import OWN_CODE, brings_code, meaning, page_of
from bertinchamps.model.deberta_heads import names_of_head, with_usual_names

# The names of dropout rates in the configs of transformers.
DROPOUTS = (
    "dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "hidden_dropout",
    "attention_dropout", "embedding_dropout", "mlp_dropout", "seq_classif_dropout", "classifier_dropout_prob",
    "dropout_rate", "pooler_dropout", "activation_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop",
)  # fmt: skip


NO_LIMIT = 10**9  # tokens
MOST_LAYERS = 10_000  # building more would take hours, before the weights show that there are not so many


@dataclass(frozen=True)
class EncoderSource:
    """Where an encoder comes from.

    Attributes:
        name: a directory, or a name on the Hub.
        config: the architecture of an encoder with random weights; None: load the weights at `name`.
        dropout: one rate for all dropouts; None: as in the config.
        with_head: True: load the head as well, strictly. False: draw a new head.
    """

    name: str
    config: Any = None
    dropout: float | None = None
    with_head: bool = False


def open_tokenizer(source: str) -> Any:
    """The tokenizer of a directory or of a name on the Hub; "[SEP]" in a text is tokenised as text.

    Raises:
        UserError: there is no tokenizer, or no fast one (slow tokenizers know no offsets).
    """
    from transformers import AutoTokenizer

    try:
        with _quietly():
            tokenizer = AutoTokenizer.from_pretrained(source, split_special_tokens=True, **_reading(source))
    except Exception as error:  # many classes, from the network to a damaged file
        raise _unreadable(source, "a tokenizer", error) from error
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"model={source}: its tokenizer has no token to fill short texts up with (pad_token in "
            "tokenizer_config.json), so texts cannot be read together; add one, or choose another model"
        )
    if not tokenizer.is_fast:
        raise UserError(
            f"model={source}: its tokenizer has no fast version (tokenizer.json), which knows the offsets "
            "that spans need; convert it with transformers, or choose another model"
        )
    return tokenizer


def control_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of special tokens other than the unknown token.

    A Unigram tokenizer may give these ids for text, as they are entries of its vocabulary; readers of texts replace
    them by `unknown_id`.
    """
    return frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id}


def unknown_id(tokenizer: Any) -> int:
    """The id for text without a subword: that of the unknown token, or of the mask where there is none."""
    known = tokenizer.unk_token_id
    return int(tokenizer.mask_token_id if known is None else known)


def open_config(source: str) -> Any:
    """The configuration of a directory or of a name on the Hub.

    Raises:
        UserError: there is no config that the installed transformers knows, or one that nobody can build.
    """
    from transformers import AutoConfig

    try:
        with _quietly():
            config = AutoConfig.from_pretrained(source, **_reading(source))
    except Exception as error:
        raise _unreadable(source, "an encoder", error) from error
    layers = getattr(config, "num_hidden_layers", None)
    if isinstance(layers, int) and layers > MOST_LAYERS:
        raise UserError(f"{source}: its config.json says {layers:,} layers, so it is damaged; get it again")
    return config


def longest_input(config: Any) -> int:
    """The longest sequence of the encoder in tokens, special tokens included; NO_LIMIT where there is none."""
    limit = getattr(config, "max_position_embeddings", None)
    computed = getattr(config, "positions", "learned") != "learned"  # of our own encoders
    if limit is None or limit < 1 or computed:  # XLNet says -1
        return NO_LIMIT
    return int(limit) - _positions_left_out(config, limit)


def _positions_left_out(config: Any, limit: int) -> int:
    """The number of rows of the position table that no token of a text uses.

    RoBERTa's family counts positions from the padding's id on; its position table has a `padding_idx`.
    """
    from transformers import AutoModel

    try:
        with _quietly(), torch.device("meta"):  # no memory for weights
            model = AutoModel.from_config(copy.deepcopy(config))  # type: ignore[no-untyped-call]
    except Exception:  # opening the model reports the error
        return 0
    for name, module in model.named_modules():
        padding: Any = getattr(module, "padding_idx", None)
        if padding is not None and "position" in name and module.weight.shape[0] == limit:
            return int(padding) + 1
    return 0


def open_model(auto_class: str, source: EncoderSource, classes: Sequence[str] | None) -> Any:
    """A model of an Auto class: the encoder's weights are loaded strictly, a new head is drawn.

    Args:
        auto_class: of transformers, such as "AutoModelForTokenClassification".
        source: of the encoder.
        classes: names of the head's classes; None: no head.

    Raises:
        UserError: the model cannot be opened, or its weights do not fit its config.json.
    """
    import transformers

    auto = getattr(transformers, auto_class)
    config = copy.deepcopy(source.config) if source.config is not None else open_config(source.name)
    if classes is not None:
        config.id2label = dict(enumerate(classes))
        config.label2id = {name: index for index, name in enumerate(classes)}
    if source.dropout is not None:
        for name in DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, source.dropout)
    if source.config is not None:
        return auto.from_config(config)
    renamed = names_of_head(auto_class, config)
    try:
        with _quietly():
            model, report = auto.from_pretrained(
                source.name,
                config=config,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported, and judged by _refuse_partial
                dtype=torch.float32,
                key_mapping=renamed or None,
                **_reading(source.name),
            )
    except UserError as error:  # of our own classes
        raise UserError(f"model={source.name}: {error}") from error
    except Exception as error:
        raise _unreadable(source.name, "an encoder", error) from error
    headless = classes is None or source.with_head
    _refuse_partial(report, source.name, "" if headless else f"{model.base_model_prefix}.")
    if not headless:
        _draw_head(model)
    return with_usual_names(model) if renamed else model


def has_masked_lm(config: Any) -> bool:
    """Whether a pretrained model has a head for masked tokens, by its configuration; those of others do."""
    return bool(getattr(config, "masked_lm", True))


def open_untuned(folder: Path) -> Any:
    """What pretraining left: a masked language model, or an encoder that did not learn masked tokens.

    Raises:
        UserError: as `open_model`.
    """
    masked = has_masked_lm(open_config(str(folder)))
    return open_model(
        "AutoModelForMaskedLM" if masked else "AutoModel", EncoderSource(str(folder), with_head=True), None
    )


def _refuse_partial(report: Mapping[str, Any], name: str, prefix: str) -> None:
    """Refuse missing or misfitting weights whose names begin with the prefix. Poolers may be new."""
    wrong = []
    for kind, keys in (("missing", "missing_keys"), ("of another shape", "mismatched_keys")):
        names = sorted(key if isinstance(key, str) else str(key[0]) for key in report[keys])
        names = [key for key in names if key.startswith(prefix) and "pooler" not in key]
        if names:
            wrong.append(f"{kind}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}")
    if wrong:
        raise UserError(f"model={name}: the weights do not fit its config.json: {'; '.join(wrong)}")


def _draw_head(model: Any) -> None:
    """Draw the weights of the last linear map: those of another task's classes mean nothing here."""
    last = last_linear(model)
    nn.init.normal_(last.weight, std=getattr(model.config, "initializer_range", 0.02))
    if last.bias is not None:
        nn.init.zeros_(last.bias)


def last_linear(model: Any) -> nn.Linear:
    """The linear map that gives the logits of a model of transformers with a head."""
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith(f"{model.base_model_prefix}.")
    ][-1]


@contextmanager
def without_bars() -> Iterator[None]:
    """No bars of transformers, which shows one for the weights of each model, in a program that others wrote."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence transformers' table of new weights, which `_refuse_partial` judges, and the Hub's warnings of retries."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    level, hub_level = logging.get_verbosity(), hub.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hub.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        hub.set_verbosity(hub_level)


def _reading(source: str) -> dict[str, Any]:
    """Arguments of `from_pretrained`: no remote code, and no network for a directory."""
    return {"trust_remote_code": False, "local_files_only": Path(source).is_dir()}


def _unreadable(source: str, what: str, error: Exception) -> UserError:
    if brings_code(error):
        return UserError(f"model={source}: {OWN_CODE}")
    if Path(source).is_dir():
        detail = f"{source} holds no such files, or damaged ones"
    else:
        found = meaning(error, page_of(source, kind=""))
        reason = f"the model {found}" if found else "the Hub has nothing that transformers can open there"
        detail = f"no such directory here, and {reason}"
    first = str(error).strip().splitlines()
    return UserError(
        f"model={source}: cannot open {what}: {detail}.\n{type(error).__name__}: {first[0] if first else ''}"
    )
