"""The command `complexity`: what models cost as texts get longer, and what a Wave Network saves."""
