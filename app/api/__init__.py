"""HTTP and nothing else: routes translate, `app.judgement` judges."""
