"""The napari plugin: forms, layers and workers around :mod:`dsfunet_core`."""
