"""From predictions to scores, their intervals, and what they are compared with."""
