"""Foreign protocols, a folder each: translation only, onto the services that the native API calls."""
