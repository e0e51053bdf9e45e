"""Named sets of fields. A preset may set any field of the data, the network or the training."""

PRESETS = {
    # Small and quick: a laptop trains it on Reuters R8 in seconds. Values chosen on validation splits, see README.md.
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
}
