"""What a table's YAML defines, and what decides by it."""
