"""Tests of the room lakehouse; SQLite catalogs and local folders only."""
