"""An archive: recordings that were embedded once, to search, label and count in, and to train on."""
