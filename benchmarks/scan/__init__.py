"""What is said of whole slices and series, measured through the use cases that serve them."""
