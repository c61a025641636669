"""`orderlog dlq`: what projections and subscribers could not do; redrive it, or give it up."""
