"""From labelled CT to a model bundle: datasets, network, training, calibration, evaluation and export."""

import os

# Both are read when Keras loads its backend, so they must be there before any module of ours imports Keras.
# TensorFlow: independent operations run in whatever order threads are free, and sums of floats show it. One at a
# time, each still on every core, gives the same bits again.
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
# TensorFlow asks for oneDNN by itself only where the processor has AVX-512. On one with AVX2 a step of the classifier
# takes 1.5 s with it and 2.2 s without.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# PyTorch: threads that spin while they wait take a busy machine's cores from those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
