"""From labelled CT to a model bundle: datasets, network, training, calibration, evaluation and export."""
