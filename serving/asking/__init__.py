"""The client's side of the API without a network: what to send, how to take what comes back, when to try again."""
