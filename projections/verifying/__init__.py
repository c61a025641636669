"""An independent fold of the log, held against a view's rows: nothing of the path that made them is used here."""
