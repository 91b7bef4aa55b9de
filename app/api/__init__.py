"""HTTP and nothing else: routes translate, `app.inference` decides."""
