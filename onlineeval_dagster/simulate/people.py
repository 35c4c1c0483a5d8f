"""Who the simulated users are: language, place, device and variant, the same for the whole period."""

import random

from onlineeval_dagster.sampling.chance import unit_interval
from onlineeval_dagster.simulate.world import World

LANGUAGES, LANGUAGE_SHARES = ("en", "de", "es"), (0.86, 0.08, 0.06)
PLACES = {"en": ("US", "GB", "IE", "CA"), "de": ("DE", "AT", "CH"), "es": ("ES", "MX")}
DEVICES, DEVICE_SHARES = ("mobile", "desktop", "tablet"), (0.58, 0.36, 0.06)


class People:
    """Columns over the users' numbers. `exposed` grows as users meet the experiment for the first time."""

    def __init__(self, world: World) -> None:
        rng = random.Random(f"people:{world.seed}")
        numbers = range(world.population)
        self.name = [f"u{number:05d}" for number in numbers]
        self.language = [rng.choices(LANGUAGES, LANGUAGE_SHARES)[0] for _ in numbers]
        self.place = [rng.choice(PLACES[language]) for language in self.language]
        self.device = [rng.choices(DEVICES, DEVICE_SHARES)[0] for _ in numbers]
        self.variant = ["control" if unit_interval(name, "tone") < 0.5 else "warm" for name in self.name]
        self.exposed: set[int] = set()
