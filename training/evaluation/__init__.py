"""From held-out predictions to figures: calibration, cross-fitting, baselines and intervals."""
