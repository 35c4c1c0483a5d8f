"""What came in and what became of it: the accounts of the log."""

from onlineeval_dagster.contracts.base import Contract, Count, Instant, Key


class CoverageRow(Contract):
    """What one day's partitions of the lake hold of the lines of one hour and one source. Counts; they add up.

    Summed over the days, received = ingested + quarantined + erased + taken_out for every hour and source: nothing is
    lost. Grain: (day, hour, source). A day holds what stands on that day in the tables it counts, so a late line is
    received on the day it was taken in and ingested on the day it happened; each day can be counted again by itself.

    hour            in which the lines were taken in; an import of a year is one hour, like the minute it took
    source          the door of the segment: sdk, collector, otlp, import, judges …
    received        lines of the log, as the ingest counted them
    ingested        rows in the tables of events, counted there, duplicates among them
    duplicate       rows of `ingested` that are not the first of their key
    quarantined     lines in the quarantine
    erased          lines that were never let in, because whom they speak of was erased
    taken_out       lines that stood in the lake until retention or an erasure took them out
    late            rows of `ingested` received more than an hour after they occurred
    lost_by_sender  events that the sender says it could not deliver; they are in no other count
    responses       answers, without duplicates
    with_implicit, with_explicit, with_automated   of `responses`, those with a signal of the kind
    """

    hour: Instant
    source: Key
    received: Count
    ingested: Count
    duplicate: Count
    quarantined: Count
    erased: Count
    taken_out: Count
    late: Count
    lost_by_sender: Count
    responses: Count
    with_implicit: Count
    with_explicit: Count
    with_automated: Count
