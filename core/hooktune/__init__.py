"""hooktune runs methods that fine-tune embedding models on clickstream, as plugins.

Importing this package imports neither torch nor mlflow nor any plugin: each public name is loaded
from its module when it is first used.
"""

from typing import TYPE_CHECKING, Final

from hooktune._lazy import lazy_names
from hooktune._version import __version__

if TYPE_CHECKING:
    from hooktune.contract.active_run import ActiveRun as ActiveRun
    from hooktune.contract.checkpoint import Checkpoint as Checkpoint
    from hooktune.contract.checkpoint import State as State
    from hooktune.contract.checkpoint import StateGiver as StateGiver
    from hooktune.contract.encoding import Encoder as Encoder
    from hooktune.contract.encoding import Reader as Reader
    from hooktune.contract.encoding import Task as Task
    from hooktune.contract.event_weight import EventWeight as EventWeight
    from hooktune.contract.files import open_file as open_file
    from hooktune.contract.files import plain_name as plain_name
    from hooktune.contract.hooks import hookimpl as hookimpl
    from hooktune.contract.images import image_text as image_text
    from hooktune.contract.images import is_image as is_image
    from hooktune.contract.images import load_image as load_image
    from hooktune.contract.interval import Interval as Interval
    from hooktune.contract.json_lines import line_error as line_error
    from hooktune.contract.json_lines import read_objects as read_objects
    from hooktune.contract.json_lines import shortened as shortened
    from hooktune.contract.launching import Resources as Resources
    from hooktune.contract.launching import Worker as Worker
    from hooktune.contract.launching import WorkerCommand as WorkerCommand
    from hooktune.contract.listing import Listing as Listing
    from hooktune.contract.log_source import Finding as Finding
    from hooktune.contract.log_source import Findings as Findings
    from hooktune.contract.log_source import LogSource as LogSource
    from hooktune.contract.long_form import MAX_NAME_LENGTH as MAX_NAME_LENGTH
    from hooktune.contract.long_form import MAX_POSITION as MAX_POSITION
    from hooktune.contract.long_form import LogPart as LogPart
    from hooktune.contract.metric import Accumulation as Accumulation
    from hooktune.contract.metric import MainMetric as MainMetric
    from hooktune.contract.metric import MetricDescription as MetricDescription
    from hooktune.contract.outcome import Addresses as Addresses
    from hooktune.contract.params import TrainingParams as TrainingParams
    from hooktune.contract.proposal import Dimension as Dimension
    from hooktune.contract.proposal import Proposal as Proposal
    from hooktune.contract.proposal import Search as Search
    from hooktune.contract.proposal import Trial as Trial
    from hooktune.contract.proposal import TrialState as TrialState
    from hooktune.contract.query_slice import QuerySlice as QuerySlice
    from hooktune.contract.query_slice import SliceKind as SliceKind
    from hooktune.contract.report import Chart as Chart
    from hooktune.contract.report import ExampleQuery as ExampleQuery
    from hooktune.contract.report import ExampleResult as ExampleResult
    from hooktune.contract.report import MetricChange as MetricChange
    from hooktune.contract.report import Paragraph as Paragraph
    from hooktune.contract.report import ReportFacts as ReportFacts
    from hooktune.contract.report import ReportPart as ReportPart
    from hooktune.contract.report import ReportSection as ReportSection
    from hooktune.contract.report import SimilarityShares as SimilarityShares
    from hooktune.contract.report import Table as Table
    from hooktune.contract.report import interval_chart as interval_chart
    from hooktune.contract.search_space import SearchChoices as SearchChoices
    from hooktune.contract.search_space import SearchMark as SearchMark
    from hooktune.contract.search_space import SearchRange as SearchRange
    from hooktune.contract.seeding import seeded as seeded
    from hooktune.contract.sessions import Batch as Batch
    from hooktune.contract.sessions import Floats as Floats
    from hooktune.contract.sessions import Ints as Ints
    from hooktune.contract.sessions import Mask as Mask
    from hooktune.contract.sessions import Sessions as Sessions
    from hooktune.contract.sessions import TrainingBatch as TrainingBatch
    from hooktune.contract.settings import AskedSettings as AskedSettings
    from hooktune.contract.settings import BaselineKind as BaselineKind
    from hooktune.contract.settings import IterationSettings as IterationSettings
    from hooktune.contract.settings import MethodSettings as MethodSettings
    from hooktune.contract.settings import Split as Split
    from hooktune.contract.split_kind import SplitKind as SplitKind
    from hooktune.contract.times import parse_time as parse_time
    from hooktune.data.beir import export_beir as export_beir
    from hooktune.data.cleaning_rules import CleaningRules as CleaningRules
    from hooktune.data.difference import BatchDifference as BatchDifference
    from hooktune.data.difference import RateShift as RateShift
    from hooktune.data.difference import Shared as Shared
    from hooktune.data.difference import compare_batches as compare_batches
    from hooktune.data.growing import merge_batches as merge_batches
    from hooktune.data.growing import sample_batch as sample_batch
    from hooktune.data.manifest import BatchCounts as BatchCounts
    from hooktune.data.manifest import BatchManifest as BatchManifest
    from hooktune.data.manifest import EventCount as EventCount
    from hooktune.data.manifest import ImageCounts as ImageCounts
    from hooktune.data.manifest import LabelCounts as LabelCounts
    from hooktune.data.manifest import read_manifest as read_manifest
    from hooktune.data.position_bias import Examination as Examination
    from hooktune.data.position_bias import PositionBias as PositionBias
    from hooktune.data.release import open_batch as open_batch
    from hooktune.data.tables import TABLE_ENDINGS as TABLE_ENDINGS
    from hooktune.data.tables import Rows as Rows
    from hooktune.data.tables import ending_of as ending_of
    from hooktune.data.tables import read_rows as read_rows
    from hooktune.errors import DataError as DataError
    from hooktune.errors import HooktuneError as HooktuneError
    from hooktune.errors import PluginError as PluginError
    from hooktune.errors import RequestError as RequestError
    from hooktune.errors import StoreAwayError as StoreAwayError
    from hooktune.errors import StoreError as StoreError
    from hooktune.errors import UnsafeModelError as UnsafeModelError
    from hooktune.evaluation.champion import Rollback as Rollback
    from hooktune.evaluation.champion import load_champion as load_champion
    from hooktune.evaluation.comparison import Anchor as Anchor
    from hooktune.evaluation.comparison import Comparison as Comparison
    from hooktune.evaluation.comparison import MethodOnBatch as MethodOnBatch
    from hooktune.evaluation.contest import Contest as Contest
    from hooktune.evaluation.contest import Requirement as Requirement
    from hooktune.evaluation.pairs import MethodPair as MethodPair
    from hooktune.evaluation.promotion import Promotion as Promotion
    from hooktune.evaluation.query_figures import QueryFigures as QueryFigures
    from hooktune.evaluation.query_figures import QueryPairs as QueryPairs
    from hooktune.iteration.log_release import release_batch as release_batch
    from hooktune.iteration.request import RunOptions as RunOptions
    from hooktune.iteration.result import IterationResult as IterationResult
    from hooktune.iteration.result import MethodOutcome as MethodOutcome
    from hooktune.iteration.runner import Runner as Runner
    from hooktune.naming import IterationName as IterationName
    from hooktune.parts import in_parts as in_parts
    from hooktune.progress import PhaseProgress as PhaseProgress
    from hooktune.progress import Progress as Progress
    from hooktune.progress import StepProgress as StepProgress
    from hooktune.tracking.holdouts import Holdout as Holdout
    from hooktune.tracking.models.champions import ModelVersion as ModelVersion
    from hooktune.tracking.outbox.outbox import Delivered as Delivered
    from hooktune.tracking.records import Iteration as Iteration
    from hooktune.tracking.records import RunRecord as RunRecord
    from hooktune.training.best_weights import BestWeights as BestWeights
    from hooktune.training.loop import LearnedStep as LearnedStep
    from hooktune.training.loop import StepLoss as StepLoss
    from hooktune.training.loop import make_reader as make_reader
    from hooktune.training.loop import train as train
    from hooktune.training.loop import train_steps as train_steps
    from hooktune.training.losses import Loss as Loss
    from hooktune.training.losses import learned_loss as learned_loss
    from hooktune.training.losses import loss_of_scores as loss_of_scores
    from hooktune.training.losses import mean_over_sessions as mean_over_sessions
    from hooktune.training.mini_batches import MiniBatch as MiniBatch
    from hooktune.training.mini_batches import MiniBatchLoader as MiniBatchLoader
    from hooktune.training.optimizer import adam_w as adam_w
    from hooktune.training.optimizer import frozen as frozen
    from hooktune.training.optimizer import gradient_step as gradient_step
    from hooktune.training.optimizer import set_learning_rate as set_learning_rate
    from hooktune.training.optimizer import training_mode as training_mode
    from hooktune.training.process_group import ProcessGroup as ProcessGroup
    from hooktune.training.process_group import join_process_group as join_process_group
    from hooktune.training.scoring import mini_batch_scores as mini_batch_scores
    from hooktune.training.starting_weights import StartingWeights as StartingWeights
    from hooktune.training.state import gather_state as gather_state
    from hooktune.training.state import restore_state as restore_state

_HOME: Final = {
    "EventWeight": "contract.event_weight",
    "open_file": "contract.files",
    "plain_name": "contract.files",
    "LogPart": "contract.long_form",
    "MAX_NAME_LENGTH": "contract.long_form",
    "MAX_POSITION": "contract.long_form",
    "LogSource": "contract.log_source",
    "Finding": "contract.log_source",
    "Findings": "contract.log_source",
    "line_error": "contract.json_lines",
    "read_objects": "contract.json_lines",
    "shortened": "contract.json_lines",
    "parse_time": "contract.times",
    "Accumulation": "contract.metric",
    "ActiveRun": "contract.active_run",
    "Addresses": "contract.outcome",
    "Anchor": "evaluation.comparison",
    "AskedSettings": "contract.settings",
    "BaselineKind": "contract.settings",
    "Batch": "contract.sessions",
    "export_beir": "data.beir",
    "CleaningRules": "data.cleaning_rules",
    "BatchDifference": "data.difference",
    "RateShift": "data.difference",
    "Shared": "data.difference",
    "compare_batches": "data.difference",
    "merge_batches": "data.growing",
    "sample_batch": "data.growing",
    "TABLE_ENDINGS": "data.tables",
    "Rows": "data.tables",
    "ending_of": "data.tables",
    "read_rows": "data.tables",
    "BatchCounts": "data.manifest",
    "Examination": "data.position_bias",
    "PositionBias": "data.position_bias",
    "BatchManifest": "data.manifest",
    "BestWeights": "training.best_weights",
    "Chart": "contract.report",
    "Checkpoint": "contract.checkpoint",
    "Comparison": "evaluation.comparison",
    "Contest": "evaluation.contest",
    "DataError": "errors",
    "Delivered": "tracking.outbox.outbox",
    "Dimension": "contract.proposal",
    "Encoder": "contract.encoding",
    "EventCount": "data.manifest",
    "ExampleQuery": "contract.report",
    "ExampleResult": "contract.report",
    "Floats": "contract.sessions",
    "Holdout": "tracking.holdouts",
    "HooktuneError": "errors",
    "ImageCounts": "data.manifest",
    "LabelCounts": "data.manifest",
    "Interval": "contract.interval",
    "Ints": "contract.sessions",
    "Iteration": "tracking.records",
    "IterationName": "naming",
    "IterationResult": "iteration.result",
    "IterationSettings": "contract.settings",
    "LearnedStep": "training.loop",
    "Listing": "contract.listing",
    "Loss": "training.losses",
    "MainMetric": "contract.metric",
    "Mask": "contract.sessions",
    "MethodOnBatch": "evaluation.comparison",
    "MethodOutcome": "iteration.result",
    "MethodPair": "evaluation.pairs",
    "MethodSettings": "contract.settings",
    "MetricChange": "contract.report",
    "MetricDescription": "contract.metric",
    "MiniBatch": "training.mini_batches",
    "MiniBatchLoader": "training.mini_batches",
    "ModelVersion": "tracking.models.champions",
    "Paragraph": "contract.report",
    "PhaseProgress": "progress",
    "PluginError": "errors",
    "ProcessGroup": "training.process_group",
    "Progress": "progress",
    "Promotion": "evaluation.promotion",
    "Proposal": "contract.proposal",
    "QueryFigures": "evaluation.query_figures",
    "QueryPairs": "evaluation.query_figures",
    "QuerySlice": "contract.query_slice",
    "Reader": "contract.encoding",
    "ReportFacts": "contract.report",
    "ReportPart": "contract.report",
    "ReportSection": "contract.report",
    "RequestError": "errors",
    "Requirement": "evaluation.contest",
    "Resources": "contract.launching",
    "Rollback": "evaluation.champion",
    "RunOptions": "iteration.request",
    "RunRecord": "tracking.records",
    "Runner": "iteration.runner",
    "Search": "contract.proposal",
    "SearchChoices": "contract.search_space",
    "SearchMark": "contract.search_space",
    "SearchRange": "contract.search_space",
    "Sessions": "contract.sessions",
    "SimilarityShares": "contract.report",
    "SliceKind": "contract.query_slice",
    "Split": "contract.settings",
    "SplitKind": "contract.split_kind",
    "StartingWeights": "training.starting_weights",
    "State": "contract.checkpoint",
    "StateGiver": "contract.checkpoint",
    "StepLoss": "training.loop",
    "StepProgress": "progress",
    "StoreAwayError": "errors",
    "StoreError": "errors",
    "Table": "contract.report",
    "Task": "contract.encoding",
    "Trial": "contract.proposal",
    "TrialState": "contract.proposal",
    "TrainingBatch": "contract.sessions",
    "TrainingParams": "contract.params",
    "UnsafeModelError": "errors",
    "Worker": "contract.launching",
    "WorkerCommand": "contract.launching",
    "adam_w": "training.optimizer",
    "frozen": "training.optimizer",
    "gather_state": "training.state",
    "gradient_step": "training.optimizer",
    "hookimpl": "contract.hooks",
    "image_text": "contract.images",
    "in_parts": "parts",
    "interval_chart": "contract.report",
    "is_image": "contract.images",
    "join_process_group": "training.process_group",
    "learned_loss": "training.losses",
    "load_champion": "evaluation.champion",
    "load_image": "contract.images",
    "loss_of_scores": "training.losses",
    "make_reader": "training.loop",
    "mean_over_sessions": "training.losses",
    "mini_batch_scores": "training.scoring",
    "open_batch": "data.release",
    "read_manifest": "data.manifest",
    "release_batch": "iteration.log_release",
    "restore_state": "training.state",
    "seeded": "contract.seeding",
    "set_learning_rate": "training.optimizer",
    "train": "training.loop",
    "train_steps": "training.loop",
    "training_mode": "training.optimizer",
}

__all__ = ["__version__", *sorted(_HOME)]


__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
