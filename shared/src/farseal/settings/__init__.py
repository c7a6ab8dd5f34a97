"""What a service says about the tokens it takes: made in code, or read from ``FARSEAL_*`` variables."""

from farseal.settings.issuer import IssuerSettings
from farseal.settings.origins import PREFIX
from farseal.settings.sourcing import source_of
from farseal.settings.trust import MAX_LEEWAY_SECONDS, TrustSettings
from farseal.status_list import StatusPolicy

__all__ = ["MAX_LEEWAY_SECONDS", "PREFIX", "IssuerSettings", "StatusPolicy", "TrustSettings", "source_of"]
