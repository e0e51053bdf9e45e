"""Texts on their way in: corpora by name, local files, tokenizer, batches."""
