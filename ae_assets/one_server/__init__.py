"""One server's own drives: what smartctl prints of them, how each stands, why, and since when. No table is needed."""
