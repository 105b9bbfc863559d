"""Figures from the tables that flow between the stages."""
