"""A trigger's secret: how it is kept."""

from accounts.row_secrets import RowSecrets
from scheduling.models import Trigger

_TRIGGERS = RowSecrets("trigger", Trigger)
seal, unseal, secrets_of = _TRIGGERS.seal, _TRIGGERS.unseal, _TRIGGERS.unseal_all
replace_secret, rotate_secrets = _TRIGGERS.replace, _TRIGGERS.reseal
