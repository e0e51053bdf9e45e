"""The named sets of fields: a preset may set any field of the data, the network or the training."""

PAPER = {
    "vocabulary_size": 30522,
    "max_tokens": 512,
    "validation_fraction": 0.2,
    "dimension": 768,
    "position_encoding": "sinusoidal",
    "hidden": 768,
    "readout": "magnitude",
    "wave_residual": False,
    "activation": "gelu",
    "epochs": 4,
    "batch_size": 64,
    "learning_rate": 1e-3,
}
# The default: one set of values for short texts and long ones, chosen on validation splits; RESULTS.md says what it
# reaches.
RECOMMENDED = {
    "tokens": "words",
    "vocabulary_size": 200000,
    "max_tokens": 1024,
    "ngrams": 2,
    "ngram_frequency": 1,
    "ngram_vocabulary_size": 400000,
    "affixes": True,
    "dimension": 64,
    "readout": "magnitude",
    "wave_residual": False,
    "hidden": 0,
    "embedding_scale": 0.002,
    "token_dropout": 0.8,
    "spared_tokens": 50,
    "label_smoothing": 0.1,
    "learning_rate": 5e-4,
    "epochs": 6,
    "step_budget": 2900,
    "patience": 2,
    "largest_batch_size": 256,
    "threads": 1,
}
# With what has helped it on validation splits; several networks together need fewer epochs.
ACCURATE = {
    "char_ngrams": "3-5",
    "shortcut": "naive-bayes",
    "shortcut_dropout": 0.5,
    "heads": 2,
    "char_heads": 2,
    "linear_heads": 2,
    "epochs": 3,
    "many_classes_epochs": 6,
}
PRESETS = {
    # A network with all its parts, small enough for a laptop: the base of what README.md says the papers leave open.
    "quick": {
        "vocabulary_size": 30000,
        "max_tokens": 512,
        "activation": "relu",
        "embedding_scale": 0.02,
        "wave_residual": False,
        "token_dropout": 0.6,
        "classifier_dropout": 0.3,
        "epochs": 5,
        "threads": 1,
    },
    "recommended": RECOMMENDED,
    "accurate": {**RECOMMENDED, **ACCURATE},
    # Where classes are many, interference wants larger steps than modulation.
    "interference": {**RECOMMENDED, "operation": "interference", "many_classes_learning_rate": 2e-3},
    # The papers' network, the single layer of Fig. 6a: positions, a branch of sentences and one of texts. paper-text:
    # that of the running text, one level. networks.md says what the papers leave open.
    "paper": {**PAPER, "levels": "sentence-text"},
    "paper-text": PAPER,
    # The networks that the papers compare with: one Transformer layer from random embeddings, and all twelve of BERT
    # base, with the settings in which they fine-tune it. The learning rate of one layer is that of the study, which is
    # a third as wide.
    "transformer-1": {
        "model": "transformer",
        "vocabulary_size": 30522,
        "blocks": 1,
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 2e-4,
    },
    "bert-base": {
        "model": "transformer",
        "vocabulary_size": 30522,
        "max_tokens": 512,
        "blocks": 12,
        "epochs": 4,
        "batch_size": 32,
        "learning_rate": 2e-5,
    },
}
DEFAULTS = {"wave": "recommended", "transformer": "transformer-1"}  # by model
