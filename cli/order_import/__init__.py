"""`orderlog import`: a file of orders into the log, through the command API's bulk commands."""
