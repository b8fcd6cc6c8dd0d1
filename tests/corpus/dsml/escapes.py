N = '\N{BULLET}'
