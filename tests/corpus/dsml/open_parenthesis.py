N = ('a'
 'b' # c