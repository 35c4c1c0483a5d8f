"""All detectors by name; the catalog's signals.toml says which of them run."""

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.signals.detectors import (
    confidence,
    embedding,
    groundedness,
    injection,
    language,
    leakage,
    outliers,
    refusal,
    relevance,
    repetition,
    toxicity,
    toxicity_model,
    truncation,
)
from onlineeval_dagster.signals.detectors.interface import Detector

_ALL: tuple[Detector, ...] = (
    refusal.DETECTOR,
    truncation.DETECTOR,
    repetition.DETECTOR,
    language.DETECTOR,
    leakage.DETECTOR,
    confidence.DETECTOR,
    outliers.LENGTH,
    outliers.LATENCY,
    relevance.DETECTOR,
    groundedness.DETECTOR,
    toxicity.DETECTOR,
    injection.DETECTOR,
)

DETECTORS: dict[str, Detector] = {detector.name: detector for detector in _ALL}

OPTIONAL: dict[str, Detector] = {module.DETECTOR.name: module.DETECTOR for module in (toxicity_model, embedding)}
"""Detectors that need more than this package; scoring without it raises CatalogError, which says what to install."""


def known_detectors(catalog: Catalog) -> dict[str, Detector]:
    """The detectors the catalog uses, by name. Raises CatalogError where one is unknown."""
    there_are = DETECTORS | OPTIONAL
    for name in catalog.signals.detectors:
        if name not in there_are:
            raise CatalogError(f"signals.toml: detectors.{name} is unknown; there are {', '.join(sorted(there_are))}")
    return {name: there_are[name] for name in catalog.signals.detectors}
