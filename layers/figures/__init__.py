"""The pictures of the documents. Those of the equations are drawn here; the others are written by the commands."""
