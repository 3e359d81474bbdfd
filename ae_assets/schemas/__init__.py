"""Column contracts: what a row of each table must look like, as Pandera schemas with a reason per rule."""
