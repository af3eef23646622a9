"""Every setting of every command, as dataclasses: type, default and meaning are declared once, here below.

Hydra composes `configs/` with the command line (`composing.py`); these dataclasses type the closed nodes. The open
nodes (`data`, `objective`, `optim`, `schedule`, `tracker`, the entries of `cleaning`) are `{name, **settings}` and are
checked by the registry that builds them. No code mutates a dataclass; the dataclasses are not frozen because OmegaConf
cannot merge into frozen ones.
"""

from __future__ import annotations

from bertinchamps.schemas.finetuning import (
    DistillationConfig,
    FewShotConfig,
    FinetuneBatchConfig,
    FinetuneConfig,
    FinetuneReportConfig,
    LongTextsConfig,
    SelectionConfig,
)
from bertinchamps.schemas.knobs import Node, knob, named
from bertinchamps.schemas.pretraining import (
    BlocksConfig,
    EvaluationConfig,
    FreezeConfig,
    GrowConfig,
    PositionsConfig,
    PrepareCommandConfig,
    PrepareConfig,
    PretrainConfig,
)
from bertinchamps.schemas.serving import CollectingConfig, LimitsConfig, ServeConfig, TokenConfig
from bertinchamps.schemas.shared import (
    ArchConfig,
    BatchConfig,
    BudgetConfig,
    CheckpointConfig,
    CostConfig,
    EngineConfig,
    ReadingConfig,
    RunReportConfig,
    RuntimeConfig,
    TokenizerConfig,
)
from bertinchamps.schemas.using import (
    CompressConfig,
    DemoNotesConfig,
    ExportConfig,
    MeasureConfig,
    MergeConfig,
    PredictConfig,
    PublishConfig,
    PurgeConfig,
    ReportConfig,
    StudyConfig,
    SuggestConfig,
    TuneConfig,
)

COMMANDS: dict[str, type] = {
    "pretrain": PretrainConfig,
    "prepare": PrepareCommandConfig,
    "finetune": FinetuneConfig,
    "predict": PredictConfig,
    "suggest": SuggestConfig,
    "study": StudyConfig,
    "tune": TuneConfig,
    "merge": MergeConfig,
    "compress": CompressConfig,
    "export": ExportConfig,
    "publish": PublishConfig,
    "purge": PurgeConfig,
    "serve": ServeConfig,
    "report": ReportConfig,
    "demo_notes": DemoNotesConfig,
}

__all__ = [
    "COMMANDS",
    "ArchConfig",
    "BatchConfig",
    "BlocksConfig",
    "BudgetConfig",
    "CheckpointConfig",
    "CollectingConfig",
    "CompressConfig",
    "CostConfig",
    "DemoNotesConfig",
    "DistillationConfig",
    "EngineConfig",
    "EvaluationConfig",
    "ExportConfig",
    "FewShotConfig",
    "FinetuneBatchConfig",
    "FinetuneConfig",
    "FinetuneReportConfig",
    "FreezeConfig",
    "GrowConfig",
    "LimitsConfig",
    "LongTextsConfig",
    "MeasureConfig",
    "MergeConfig",
    "Node",
    "PositionsConfig",
    "PredictConfig",
    "PrepareCommandConfig",
    "PrepareConfig",
    "PretrainConfig",
    "PublishConfig",
    "PurgeConfig",
    "ReadingConfig",
    "ReportConfig",
    "RunReportConfig",
    "RuntimeConfig",
    "SelectionConfig",
    "ServeConfig",
    "StudyConfig",
    "SuggestConfig",
    "TokenConfig",
    "TokenizerConfig",
    "TuneConfig",
    "knob",
    "named",
]
