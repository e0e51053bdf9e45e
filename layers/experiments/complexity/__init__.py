"""What a model costs as its texts get longer, counted and measured, and how much less a Wave Network costs than a Transformer."""
