"""``python -m ae_assets.cli``: the same as ``ae-assets``."""

from ae_assets.cli import main

main()
