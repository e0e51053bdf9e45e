"""Named sets of fields. A preset may set any field of the data, the network or the training."""

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
    # The default: one set of values for short texts and long ones, chosen on validation splits; README.md says what it
    # reaches.
    "recommended": {
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
        "threads": 1,
    },
    # What the papers describe: d = 768, one layer, BERT's vocabulary size, batch 64, learning rate 1e-3, 4 epochs.
    "paper": {
        "vocabulary_size": 30522,
        "dimension": 768,
        "hidden": 768,
        "readout": "magnitude",
        "activation": "gelu",
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 1e-3,
    },
    # What the papers compare with: one Transformer layer from random embeddings, and all twelve of BERT base, with the
    # settings in which they fine-tune it. The learning rate of one layer is that of the study, which is a third as
    # wide.
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
