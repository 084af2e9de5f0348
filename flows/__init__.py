"""One module per flow; each body reads like the SOP that it carries out."""
