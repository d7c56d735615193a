"""A page on this machine: scans dropped into a browser, named by the functions of the command line."""
