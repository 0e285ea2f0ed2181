"""What the author of a plug-in runs to see that it keeps to what everything else relies on."""

from tightship.testing.conformance import Finding, NotConforming, check_runtime

__all__ = ["Finding", "NotConforming", "check_runtime"]
