"""Lungscope: a REST inference microservice for lung CT."""

__version__ = "0.1.0"
