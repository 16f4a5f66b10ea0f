"""A property that was slow once has not failed: a busy machine is no reason."""

from hypothesis import settings

settings.register_profile("policy", deadline=None)
settings.load_profile("policy")
