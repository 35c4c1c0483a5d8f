"""All detectors by name; the catalog's signals.toml says which of them run."""

from onlineeval_dagster.signals.detectors import refusal, repetition, truncation
from onlineeval_dagster.signals.detectors.interface import Detector

DETECTORS: dict[str, Detector] = {module.DETECTOR.name: module.DETECTOR for module in (refusal, repetition, truncation)}
