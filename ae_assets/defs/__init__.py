"""One folder per watched table with its ``defs.yaml``; resources shared by all of them."""
