"""One module for each library that is put before the oracle: it loads when its adapter runs."""
