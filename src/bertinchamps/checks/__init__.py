"""Every mistake of a configuration, in the user's key names: what each room says, gathered for each command."""
