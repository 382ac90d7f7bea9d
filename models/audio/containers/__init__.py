"""Audio containers: headers are checked against the bytes of the file before a decoder believes them."""
