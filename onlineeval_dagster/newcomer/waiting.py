"""Judges that wait until somebody has agreed to their cost, in words."""

from onlineeval_dagster.catalog.load import Catalog


def waiting_for_budget(catalog: Catalog) -> str | None:
    """Which judges are not asked yet and how to change that; None where none waits."""
    judges = catalog.waiting_judges
    if not judges:
        return None
    named = ", ".join(f"{judge.name} ({judge.model})" for judge in judges)
    return (
        f"no monthly budget is confirmed, so nothing is sent to a model for {named}. See what it costs and confirm: "
        f"onlineeval init LOGFILE --to {catalog.folder} --force; or write [budget] with monthly_cap_usd and "
        f"confirmed_at into {catalog.folder / 'sampling.toml'}"
    )
