"""Scores, intervals, figures and reports: from predictions alone."""
