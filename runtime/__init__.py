"""What an agent lives in. It knows neither Django nor the database: a host configures it and drives its
steps."""

from runtime.configuration import RuntimeSettings, configure

__all__ = ["RuntimeSettings", "configure"]
