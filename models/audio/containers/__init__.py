"""What audio files hold, by their own bytes: headers are checked against the data before a decoder believes them."""
