"""The plugin's docks, one module each."""
