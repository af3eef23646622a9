"""Every mistake of a configuration, in the user's key names: the checks of all packages, gathered by command."""
