N = 'a' + f'{x}'
