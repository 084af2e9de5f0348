"""Prefect blocks: the typed connections that flows use. They hold addresses, never decisions."""

from blocks.gateway import GatewayBlock
from blocks.metrics_source import MetricsSourceBlock
from blocks.notifier import NotifierBlock
from blocks.plan import PlanBlock
from blocks.store import StoreBlock
from blocks.system import SystemBlock

ALL_BLOCKS = (
    StoreBlock,
    GatewayBlock,
    SystemBlock,
    MetricsSourceBlock,
    NotifierBlock,
    PlanBlock,
)

__all__ = [
    "ALL_BLOCKS",
    "GatewayBlock",
    "MetricsSourceBlock",
    "NotifierBlock",
    "PlanBlock",
    "StoreBlock",
    "SystemBlock",
]
