"""The experiments of the first paper, repeated by its protocol: figure by figure, beside what it prints."""
