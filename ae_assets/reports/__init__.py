"""Figures and tables for the UI and the docs. Numbers are computed elsewhere and only drawn or written here."""
