"""What a running study is doing: its log, its gauges, `live.json`, and the status made of them."""

from tune_diffreg.observation.log import log_to
from tune_diffreg.observation.observer import Observer
from tune_diffreg.observation.status import read_status

__all__ = ["Observer", "log_to", "read_status"]
