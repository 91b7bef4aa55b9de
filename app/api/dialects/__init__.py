"""What clients of other model servers say: Open Inference Protocol (KServe v2) and TensorFlow Serving's REST."""
