"""What holds for every test."""

from hypothesis import HealthCheck, settings

# On a busy machine, and in a fresh clone where Hypothesis first makes its tables of characters, slowness is no fault.
settings.register_profile("relay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("relay")
