"""Networks, one file each: the settings, the Keras definition, the loss of a batch and what a window's outputs say."""
