"""Request bodies and forms to the bytes of files."""
