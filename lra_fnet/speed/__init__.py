"""Speed: mixers against length, FNet against what does the same, Fourier algorithms."""
